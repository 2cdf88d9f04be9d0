package proxy

import (
	"context"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
)

// One server groups the values of a facet as its tasks write them (meili.FacetLevelsOf). Which tasks there were the state
// knows, and the hidden number of a document names the one that wrote it.

// Bounds of what is looked at to group the values of a field: finished tasks of the index, and documents over all nodes; fewer where
// only the order of a list depends on it.
const (
	maxFacetTasks       = 200
	maxFacetDocuments   = 10_000
	maxOrderedDocuments = 3000
)

// facetTask is a task that wrote values of a field: those of its documents, or, if it changed settings, of all documents
// before it: anew where the field became a facet, else those outside of arrays and objects once more.
type facetTask struct {
	uid            uint32
	settings, anew bool
}

// facetDocument is what one document has in a field, as facetValues tells it, and the task that wrote it.
type facetDocument struct {
	task   uint32
	values []string
	plain  bool // the value is outside of arrays and objects
}

func (t facetTask) writes(d *facetDocument) bool {
	if t.settings {
		return d.task < t.uid && (t.anew || d.plain)
	}
	return d.task == t.uid
}

// valuesWritten are the values of a field with the groups that the index's tasks make of them. nil when not all tasks are
// known, a node does not answer, or there are too many documents.
func (q *search) valuesWritten(ctx context.Context, calls []Call, field string, maxDocuments int) *fieldValues {
	tasks := q.facetTasks(field)
	if tasks == nil {
		return nil
	}
	docs := q.facetDocuments(ctx, calls, field, maxDocuments)
	if docs == nil {
		return nil
	}
	f := &fieldValues{single: true}
	for i := range docs {
		f.single = f.single && len(docs[i].values) <= 1
		for _, value := range docs[i].values {
			if text, isString := strings.CutPrefix(value, `"`); isString {
				f.strings = append(f.strings, text)
			} else {
				f.numbers = append(f.numbers, value)
			}
		}
	}
	slices.Sort(f.strings)
	slices.SortFunc(f.numbers, compareNumberTexts)
	f.strings, f.numbers = slices.Compact(f.strings), slices.Compact(f.numbers)
	var numbers, texts [][]int
	for _, t := range tasks {
		n, s := f.written(docs, t)
		numbers, texts = append(numbers, n), append(texts, s)
	}
	f.numberLevels, f.stringLevels = facetLevels(len(f.numbers), numbers), facetLevels(len(f.strings), texts)
	return f
}

// written are the places of the values that a task wrote among numbers and among strings.
func (f *fieldValues) written(docs []facetDocument, t facetTask) (numbers, texts []int) {
	for i := range docs {
		if !t.writes(&docs[i]) {
			continue
		}
		for _, value := range docs[i].values {
			if text, isString := strings.CutPrefix(value, `"`); isString {
				at, _ := slices.BinarySearch(f.strings, text)
				texts = append(texts, at)
			} else {
				at, _ := slices.BinarySearchFunc(f.numbers, value, compareNumberTexts)
				numbers = append(numbers, at)
			}
		}
	}
	slices.Sort(numbers)
	slices.Sort(texts)
	return slices.Compact(numbers), slices.Compact(texts)
}

// facetLevels groups values by the tasks that wrote them; those that no task is known of come first.
func facetLevels(numValues int, batches [][]int) []meili.FacetLevel {
	known := make([]bool, numValues)
	for _, batch := range batches {
		for _, value := range batch {
			known[value] = true
		}
	}
	var others []int
	for value := range known {
		if !known[value] {
			others = append(others, value)
		}
	}
	return meili.FacetLevelsOf(append([][]int{others}, batches...))
}

// facetTasks are the tasks that wrote values of a field, in their order. nil when not all of the index's are known.
func (q *search) facetTasks(field string) []facetTask {
	known, err := q.s.cluster.Tasks().Tasks(fsm.TaskFilter{
		IndexUIDs: []string{q.ix.UID}, Statuses: []string{fsm.StatusSucceeded},
		Kinds: []string{string(meili.TaskDocumentAdditionOrUpdate), string(meili.TaskDocumentEdition), string(meili.TaskSettingsUpdate)},
	}, fsm.TaskPage{Limit: maxFacetTasks, Reverse: true})
	if err != nil || known.Total > maxFacetTasks {
		return nil
	}
	var writers []facetTask
	settings, numChanges, faceted := &meili.Settings{}, uint64(0), false
	for _, task := range known.Tasks {
		if task.Index != q.ix.ID {
			continue
		}
		writer := facetTask{uid: task.UID}
		if task.Kind == string(meili.TaskSettingsUpdate) {
			numChanges++
			before := faceted
			if settings, err = facetSettings(settings, task); err != nil {
				return nil
			}
			faceted = isFacet(settings, field)
			writer.settings, writer.anew = true, !before
		}
		if !faceted {
			writers = nil
			continue
		}
		writers = append(writers, writer)
	}
	if numChanges != q.ix.SettingsVersion {
		return nil
	}
	return writers
}

// facetSettings is what a change makes of the settings that say what is a facet.
func facetSettings(settings *meili.Settings, change *fsm.Task) (*meili.Settings, error) {
	sent, err := meili.LoadSettings(change.Details)
	if err != nil {
		return nil, err
	}
	next, refused := settings.Apply(&meili.Settings{
		FilterableAttributes: sent.FilterableAttributes, SortableAttributes: sent.SortableAttributes,
		RankingRules: sent.RankingRules, DistinctAttribute: sent.DistinctAttribute,
	})
	if refused != nil {
		return nil, refused
	}
	return next, nil
}

// isFacet reports whether a server keeps the values of a field apart from the documents.
func isFacet(settings *meili.Settings, field string) bool {
	_, rule := meili.MatchFilterable(settings.Filterable(), field)
	return rule != nil || isSorted(settings, field) || meili.IsFieldOrBelow(field, settings.Distinct())
}

// facetDocuments reads a field of all documents. nil when a node does not answer or there are too many.
func (q *search) facetDocuments(ctx context.Context, calls []Call, field string, most int) []facetDocument {
	top, _, nested := strings.Cut(field, ".")
	list := &documentList{s: q.s, ix: q.ix, query: &meili.DocumentsQuery{Fields: &[]string{top, orderField}}}
	read := func(limit int) (pages [][]byte, total int) {
		pages = make([][]byte, len(calls))
		eachAtOnce(len(calls), func(i int) {
			ctx, cancel := q.s.inTime(ctx, q.view, q.ix, calls[i])
			defer cancel()
			pages[i], _ = list.ask(ctx, q.s.nodes.Client(q.view, calls[i].Node), calls[i], 0, limit, nil)
		})
		for _, page := range pages {
			if page == nil {
				return nil, 0
			}
			total += int(number(memberOf(page, "total")))
		}
		return pages, total
	}
	if _, total := read(0); total > most {
		return nil
	}
	pages, total := read(most)
	if pages == nil || total > most {
		return nil
	}
	docs := []facetDocument{}
	for _, page := range pages {
		from := len(docs)
		for _, document := range itemsOf(memberOf(page, "results")) {
			read := hit{raw: document}
			value := memberOf(document, top)
			docs = append(docs, facetDocument{
				task:   taskOf(orderOf(document)),
				values: slices.DeleteFunc(read.facetValues(field), func(value string) bool { return value == blankFacet }),
				plain:  top == "_geo" || !nested && len(value) > 0 && value[0] != '[' && value[0] != '{',
			})
		}
		settleTasks(docs[from:])
	}
	return docs
}

// settleTasks takes the documents of a node, in the order in which it got them, for written when they were inserted: one that was
// written again after those behind it has most of its values still.
func settleTasks(docs []facetDocument) {
	for i := len(docs) - 2; i >= 0; i-- {
		if behind := docs[i+1].task; behind > 0 && behind < docs[i].task {
			docs[i].task = behind
		}
	}
}
