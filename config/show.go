package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"miroir/fsm"
)

// Setting is one key as it is shown.
type Setting struct {
	Value        any    `json:"value"` // *** for a secret that is set
	Source       Source `json:"source"`
	Scope        string `json:"scope"`         // pod or cluster
	NeedsRestart bool   `json:"needs_restart"` // a change takes effect at the next start of a pod
}

// Show lists every key by its name: the pod's as they were read, the cluster's as committed is. Below the names of the Go
// runtime's variables it shows what bounds the process.
func (c *Config) Show(committed fsm.Config) map[string]Setting {
	effective := *c
	effective.Cluster = committed
	shown := map[string]Setting{}
	for i := range keys {
		k := &keys[i]
		s := Setting{Value: k.at(&effective).get(), Source: FromDefault, Scope: "pod", NeedsRestart: !k.cluster || k.restart}
		if k.secret && s.Value != "" {
			s.Value = "***"
		}
		if source, ok := c.sources[k.name]; ok {
			s.Source = source
		}
		if k.cluster {
			s.Scope, s.Source = "cluster", Replicated
			if reflect.DeepEqual(s.Value, k.at(Default()).get()) {
				s.Source = FromDefault
			}
		}
		shown[k.name] = s
	}
	showRuntime(shown)
	return shown
}

// Differing lists the keys of scope cluster that a source of this pod sets to something else than what is committed.
func (c *Config) Differing(committed fsm.Config) []string {
	other := *c
	other.Cluster = committed
	var names []string
	for i := range keys {
		k := &keys[i]
		if _, set := c.sources[k.name]; set && k.cluster && !reflect.DeepEqual(k.at(c).get(), k.at(&other).get()) {
			names = append(names, k.name)
		}
	}
	return names
}

// Change applies a JSON object of keys, flat or nested, to the committed values. Only keys of scope cluster can be
// changed; an error names the key.
func Change(committed fsm.Config, patch []byte) (fsm.Config, error) {
	var values map[string]any
	if err := json.Unmarshal(patch, &values); err != nil {
		return committed, fmt.Errorf("the body is not a JSON object: %w", err)
	}
	flat := map[string]string{}
	if err := flatten("", values, flat); err != nil {
		return committed, err
	}
	if len(flat) == 0 {
		return committed, errors.New("no key to change")
	}
	changed := &Config{Cluster: committed}
	for _, name := range sortedKeys(flat) {
		k := find(name)
		switch {
		case k == nil:
			return committed, fmt.Errorf("unknown key %s", name)
		case !k.cluster:
			return committed, fmt.Errorf("%s belongs to the pod: set it by flag, environment or file and start it again", name)
		case k.own != "":
			return committed, fmt.Errorf("%s is changed by %s", name, k.own)
		}
		if err := k.at(changed).set(flat[name]); err != nil {
			return committed, fmt.Errorf("%s: %w", name, err)
		}
	}
	if tasks := changed.Cluster.Tasks; tasks.PollMinMs > tasks.PollMaxMs {
		return committed, errors.New("tasks.poll_min_ms is more than tasks.poll_max_ms")
	}
	return changed.Cluster, nil
}

// flatten writes the scalars of values under their dotted names.
func flatten(prefix string, values map[string]any, flat map[string]string) error {
	for name, v := range values {
		if prefix != "" {
			name = prefix + "." + name
		}
		switch v := v.(type) {
		case map[string]any:
			if err := flatten(name, v, flat); err != nil {
				return err
			}
		case string:
			flat[name] = v
		case float64, bool:
			text, _ := json.Marshal(v) // both always marshal
			flat[name] = string(text)
		default:
			return fmt.Errorf("%s: %v is not a value", name, v)
		}
	}
	return nil
}

// NumSet counts the keys that some source sets.
func (c *Config) NumSet() int { return len(c.sources) }
