package workers

import (
	"context"
	"net/http"
	"time"

	"miroir/fsm"
	"miroir/proxy/node"
)

// growth notices indexes that have outgrown one node. Only an index whose documents may have changed is asked for, and not
// often; one that cannot spread, because its spread is fixed or its group has one node, never is.
type growth struct {
	opts   Options
	expand func(ctx context.Context, index fsm.IndexID) (done bool)
	seen   map[fsm.IndexID]growthCheck
}

// growthCheck is when an index was asked last, and what it was then.
type growthCheck struct {
	at      time.Time
	updated time.Time
}

const (
	growthPause  = 5 * time.Second // between two questions about one index
	growthChecks = 8               // indexes asked in one turn
)

// look asks for the sizes of some indexes and has those above the threshold spread.
func (g *growth) look(ctx context.Context, view *fsm.View) {
	asked, now := 0, g.opts.Now()
	for id := range g.seen {
		if view.Indexes[id] == nil {
			delete(g.seen, id)
		}
	}
	for id, ix := range view.Indexes {
		last := g.seen[id]
		if asked == growthChecks || !canSpread(view, ix) || last.updated.Equal(ix.UpdatedAt) || now.Sub(last.at) < g.pause() {
			continue
		}
		asked++
		g.seen[id] = growthCheck{at: now, updated: ix.UpdatedAt}
		documents, err := g.count(ctx, view, ix)
		if err != nil {
			g.seen[id] = growthCheck{at: now}
			continue
		}
		if documents > view.Config.SpreadThresholdDocuments {
			g.opts.Logger.Info("index has outgrown one node", "index", ix.UID, "documents", documents)
			if !g.expand(ctx, id) {
				g.seen[id] = growthCheck{at: now}
			}
		}
	}
}

// pause is shorter than growthPause where everything is looked at often.
func (g *growth) pause() time.Duration { return min(growthPause, 5*g.opts.Repair.Interval) }

// canSpread reports that the index lives whole by itself and that a group has a node to move to.
func canSpread(view *fsm.View, ix *fsm.Index) bool {
	if !ix.Whole() || ix.Spread != fsm.SpreadAuto || ix.Shards < 2 || ix.Deleting || !ix.Visible {
		return false
	}
	perGroup := map[fsm.GroupID]int{}
	for _, n := range view.Nodes {
		if n.State == fsm.NodeActive || n.State == fsm.NodeDegraded {
			if perGroup[n.Group]++; perGroup[n.Group] > view.Config.ReplicationFactor {
				return true
			}
		}
	}
	return false
}

// count asks a node in sync how many documents the index has.
func (g *growth) count(ctx context.Context, view *fsm.View, ix *fsm.Index) (uint64, error) {
	err := error(errNoSource{})
	for _, id := range ix.Nodes(fsm.Active) {
		n := view.Node(id)
		if n == nil || !g.opts.Nodes.Get(n).Alive() {
			continue
		}
		var stats struct {
			NumberOfDocuments uint64 `json:"numberOfDocuments"`
		}
		from := copyNode{client: g.opts.Nodes.Get(n), index: ix.NodeUID, timeout: g.opts.HealthTimeout}
		if err = from.send(ctx, node.Request{Method: http.MethodGet, Path: "/indexes/" + ix.NodeUID + "/stats", Read: true}, &stats); err == nil {
			return stats.NumberOfDocuments, nil
		}
	}
	return 0, err
}
