package sim

import (
	"time"

	"miroir/fsm"
)

// nowhere is a host that nobody has.
const nowhere = "nowhere"

// wander lets the address of a node lead nowhere for a while, as that of a machine that goes away, then to the server of another node,
// nowhere again and back.
func (w *world) wander(f *fault) {
	name, other := w.names[f.node], w.names[f.after]
	if !w.spare(fsm.NodeID(name)) {
		return
	}
	w.count(f.kind)
	w.tracef("the address of %s leads nowhere", name)
	w.lead(name, nowhere)
	time.Sleep(minAbsence)
	w.tracef("the address of %s leads to %s for %v", name, other, f.last)
	w.lead(name, other)
	time.Sleep(f.last)
	if w.view().Node(fsm.NodeID(name)).LeadsTo != "" {
		w.count("strays that were noticed")
	}
	w.tracef("the address of %s leads nowhere", name)
	w.lead(name, nowhere)
	time.Sleep(minAbsence)
	w.tracef("the address of %s is right again", name)
	w.lead(name, name)
}

// lead lets the address of a node lead to a host.
func (w *world) lead(name, host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leads[name] = host
}

// hostOf is where an address leads.
func (w *world) hostOf(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if host, led := w.leads[name]; led {
		return host
	}
	return name
}

// losable are the settings that a node may lose.
var losable = []string{"stop-words", "filterable-attributes", "sortable-attributes"}

// unset lets a node lose a setting of one of its indexes.
func (w *world) unset(f *fault) {
	name := w.names[f.node]
	view := w.view()
	for i := range w.history.indexes {
		ix := view.Index(w.history.indexes[(i+f.after)%len(w.history.indexes)])
		setting := losable[f.after%len(losable)]
		if ix != nil && w.byName[name].LoseSetting(ix.NodeUID, setting) {
			w.count(f.kind)
			w.tracef("%s loses %s of %s", name, setting, ix.NodeUID)
			return
		}
	}
}
