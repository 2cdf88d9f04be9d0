package proxy

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
)

// passesFreeze reports that writes of a kind reach the nodes of a frozen index: they can end the freeze, or leave documents alone.
func passesFreeze(kind meili.TaskKind) bool {
	return slices.Contains([]meili.TaskKind{meili.TaskSettingsUpdate, meili.TaskIndexDeletion, meili.TaskIndexCompaction}, kind)
}

// checkFrozen refuses writes to an index whose nodes cannot be brought to its settings.
func checkFrozen(ix *fsm.Index, kind string) error {
	if ix.Frozen == nil || passesFreeze(meili.TaskKind(kind)) {
		return nil
	}
	return miroirError(codeSettingsFrozen, "Index `%s` takes no writes: %s cannot be brought to its settings. Change the settings, or repair the node: the freeze ends by itself then.",
		ix.UID, gapsText(ix.Frozen.Nodes))
}

// gapsText names nodes and what they lack.
func gapsText(gaps []fsm.SettingsGaps) string {
	texts := make([]string, len(gaps))
	for i, g := range gaps {
		texts[i] = fmt.Sprintf("node %s (%s)", g.Node, strings.Join(g.Settings, ", "))
	}
	return named(texts, len(texts))
}

// handleUnfreezeSettings lets an index take writes again. Nodes that still have other settings are sent these once more; should that
// have no effect either, the index freezes again.
func (s *Server) handleUnfreezeSettings(w http.ResponseWriter, r *request) error {
	ix := r.View.Index(r.uid())
	if ix == nil {
		return miroirError(codeNotFound, "There is no index `%s`.", r.uid())
	}
	if _, err := fsm.Do(r.Context(), s.cluster, fsm.UnfreezeIndex{Index: ix.ID}); err != nil {
		if errors.Is(err, fsm.ErrNotFound) {
			return miroirError(codeNotFound, "There is no index `%s` any more.", r.uid())
		}
		return s.writer.commitError(err)
	}
	writeJSON(w, http.StatusOK, map[string]any{"uid": ix.UID, "frozen": false, "was_frozen": ix.Frozen != nil})
	return nil
}

// frozenIndexes are those that take no writes, sorted by name.
func frozenIndexes(v *fsm.View) []*fsm.Index {
	frozen := slices.DeleteFunc(slices.Collect(maps.Values(v.Indexes)), func(ix *fsm.Index) bool { return ix.Frozen == nil || ix.Deleting })
	slices.SortFunc(frozen, func(a, b *fsm.Index) int { return strings.Compare(a.UID, b.UID) })
	return frozen
}

func warnOfFrozen(v *fsm.View, warn warning) {
	frozen := frozenIndexes(v)
	for _, ix := range frozen[:min(len(frozen), maxNamed)] {
		warn("index %s takes no writes since %s: %s cannot be brought to its settings. `miroir settings drift %s` shows what differs; look at why the node refuses or loses that, or apply other settings. The freeze ends by itself once they are in order; `miroir settings unfreeze %s` ends it now",
			ix.UID, meili.FormatTime(ix.Frozen.Since), gapsText(ix.Frozen.Nodes), ix.UID, ix.UID)
	}
	if more := len(frozen) - maxNamed; more > 0 {
		warn("%d more indexes take no writes for the same reason", more)
	}
}

func writeFrozenMetric(w io.Writer, v *fsm.View) {
	fmt.Fprintf(w, "miroir_settings_frozen_indexes %d\n", len(frozenIndexes(v)))
}
