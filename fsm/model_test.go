package fsm

import (
	"maps"
	"slices"
	"strconv"
)

// model is the replicated state told naively: a list of everything accepted, searched from the start for every question,
// and for every node the writes it really has.
type model struct {
	ops      []*op
	next     IndexID
	visible  map[string]IndexID
	indexes  map[IndexID]*modelIndex
	has      map[modelCopy]map[WriteID]bool // what each copy holds of decided writes
	happened map[modelShard]map[WriteID]bool
}

type modelIndex struct {
	uid      string
	shown    bool
	settings map[string]int
}

// op is one accepted task.
type op struct {
	task    uint32
	write   WriteID
	targets []Target
	open    bool // its intent is
	status  string
	took    bool // its effect was applied or dropped
	index   IndexID
	create  bool
	delete  bool
	set     map[string]int // settings members it changes
	swap    *BoundSwap
	swapped []IndexID
	done    bool // of a rename that goes to nodes: they have done their part
}

type modelShard struct {
	index IndexID
	slot  int
}

type modelCopy struct {
	modelShard
	node NodeID
}

func newModel() *model {
	return &model{
		visible: map[string]IndexID{}, indexes: map[IndexID]*modelIndex{},
		has: map[modelCopy]map[WriteID]bool{}, happened: map[modelShard]map[WriteID]bool{},
	}
}

func (o *op) finished() bool { return o.status != StatusEnqueued && o.status != StatusProcessing }

// awaitsNodes tells a rename that must not happen before the nodes have done their part.
func (o *op) awaitsNodes() bool { return o.swap != nil && o.write != "" && !o.done }

func (o *op) concerns(id IndexID) bool { return o.index == id || slices.Contains(o.swapped, id) }

func (o *op) hasEffect() bool { return o.create || o.delete || o.set != nil || o.swap != nil }

// settle applies effects until nothing changes: one whose task succeeded and that no earlier waiting effect shares an
// index with, and a swap that no earlier unfinished task shares an index with.
func (mo *model) settle() {
	for again := true; again; {
		again = false
		for i, o := range mo.ops {
			if o.took || !o.hasEffect() || o.finished() && o.status != StatusSucceeded || o.swap == nil && !o.finished() || o.awaitsNodes() {
				continue
			}
			blocked := slices.ContainsFunc(mo.ops[:i], func(e *op) bool {
				waits := e.hasEffect() && !e.took && (!e.finished() || e.status == StatusSucceeded) || o.swap != nil && !e.finished()
				return waits && (e.index != 0 && o.concerns(e.index) || slices.ContainsFunc(e.swapped, o.concerns))
			})
			if !blocked && !mo.nameBusy(i, o) {
				mo.take(o)
				again = true
			}
		}
	}
}

// nameBusy reports whether an earlier op that still waits is to move one of the names the op moves.
func (mo *model) nameBusy(i int, o *op) bool {
	mine := mo.moved(o)
	return slices.ContainsFunc(mo.ops[:i], func(e *op) bool {
		waits := !e.took && (!e.finished() || e.status == StatusSucceeded)
		return waits && slices.ContainsFunc(mo.moved(e), func(name string) bool { return slices.Contains(mine, name) })
	})
}

func (mo *model) moved(o *op) []string {
	switch {
	case o.swap != nil:
		return []string{o.swap.A, o.swap.B}
	case o.create || o.delete:
		return []string{mo.indexes[o.index].uid}
	}
	return nil
}

func (mo *model) take(o *op) {
	o.took = true
	ix := mo.indexes[o.index]
	switch {
	case o.swap != nil:
		a, b := mo.visible[o.swap.A], mo.visible[o.swap.B]
		if a != o.swap.IndexA || b != o.swap.IndexB {
			o.status = StatusFailed
			return
		}
		o.status = StatusSucceeded
		delete(mo.visible, o.swap.A)
		mo.name(o.swap.B, a)
		if b != 0 {
			mo.name(o.swap.A, b)
		}
		return
	case o.create && !ix.shown:
		old, taken := mo.visible[ix.uid]
		ix.shown = true
		mo.visible[ix.uid] = o.index
		if taken {
			mo.name(ix.uid+"__"+strconv.FormatUint(uint64(old), 36), old)
		}
	}
	maps.Copy(ix.settings, o.set)
	if o.delete {
		ix.shown = false
		if mo.visible[ix.uid] == o.index {
			delete(mo.visible, ix.uid)
		}
	}
}

func (mo *model) name(uid string, id IndexID) {
	mo.visible[uid] = id
	mo.indexes[id].uid = uid
}

// waiting lists the ops whose effect is still to come.
func (mo *model) waiting() (list []*op) {
	for _, o := range mo.ops {
		if !o.took && o.hasEffect() && (!o.finished() || o.status == StatusSucceeded) {
			list = append(list, o)
		}
	}
	return list
}

func (mo *model) routes() map[string]IndexID {
	routes := maps.Clone(mo.visible)
	for _, o := range mo.waiting() {
		switch {
		case o.swap != nil:
			foldSwap(routes, *o.swap)
		case o.create && !mo.indexes[o.index].shown:
			routes[mo.indexes[o.index].uid] = o.index
		case o.delete:
			maps.DeleteFunc(routes, func(_ string, id IndexID) bool { return id == o.index })
		}
	}
	return routes
}

func (mo *model) nextSettings(id IndexID) map[string]int {
	settings := maps.Clone(mo.indexes[id].settings)
	for _, o := range mo.waiting() {
		if o.index == id {
			maps.Copy(settings, o.set)
		}
	}
	return settings
}
