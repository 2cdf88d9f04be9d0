package fsm

import (
	"fmt"
	"reflect"
)

// Level is the feature level of this program: it rises with each release that has a new kind of command, or a new meaning
// of an old one. The state holds the level of the cluster, which is that of its oldest pod; a command of a higher level is
// not proposed, so that every pod understands the log. The level never falls: a pod that does not know it takes no part.
const Level = 1

// RaiseLevel says that every pod knows the commands of a level. One that is not higher changes nothing.
type RaiseLevel struct {
	Level int `json:"level"`
}

// Result is nothing.
func (RaiseLevel) Result() (r None) { return }

func (c RaiseLevel) apply(t *txn) (any, error) {
	t.view.counters.Level = max(t.view.counters.Level, c.Level)
	return None{}, nil
}

// LevelOf is the level a cluster must have before a command may be proposed.
func LevelOf(cmd Command) int { return commandsByType[reflect.TypeOf(cmd)].level }

// checkLevel refuses a state that a newer program has changed.
func checkLevel(v *View, known int) error {
	if v.Level > known {
		return fmt.Errorf("the cluster is at feature level %d, this program knows %d: start a newer version", v.Level, known)
	}
	return nil
}
