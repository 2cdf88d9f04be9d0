package meili

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The strings a request or response template of a rest embedder holds in the place of texts, fragments, embeddings and
// of further items of an array.
const (
	textPlaceholder      = "{{text}}"
	fragmentPlaceholder  = "{{fragment}}"
	embeddingPlaceholder = "{{embedding}}"
	repeatPlaceholder    = "{{..}}"
)

// checkRest checks fragments, request and response templates. Before a change is merged (whole is false) fragments may
// be missing from it, so that a request may then hold either placeholder.
func (e *Embedder) checkRest(whole bool) *Error {
	indexing, search := presentFragments(e.IndexingFragments.Value), presentFragments(e.SearchFragments.Value)
	if whole && (len(indexing) == 0) != (len(search) == 0) {
		return restError("inconsistent fragments: " + inconsistentFragments(indexing, search))
	}
	withFragments := len(indexing)+len(search) > 0
	if withFragments && !whole && e.DocumentTemplate.Set {
		return restError(fmt.Sprintf("cannot pass both fragments and a document template.\n  - Note: %d fragments declared in `indexingFragments` and %d fragments declared in `search_fragments_len`.\n  - Hint: remove the declared fragments or remove the `documentTemplate`", len(indexing), len(search)))
	}
	if !e.Request.Set {
		return nil
	}
	unsure := !withFragments && !whole && !e.IndexingFragments.Reset && !e.SearchFragments.Reset
	repeated, err := checkRequest(e.Request.Value, withFragments || unsure)
	if err != nil && unsure {
		repeated, err = checkRequest(e.Request.Value, false)
	}
	if err == nil && e.Response.Set {
		err = checkResponse(e.Response.Value, repeated)
	}
	return err
}

func restError(reason string) *Error {
	return newError(CodeVectorEmbeddingError, "Error while generating embeddings: user error: "+reason)
}

func presentFragments(fragments map[string]*Fragment) []string {
	var names []string
	for _, name := range sortedKeys(fragments) {
		if fragments[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

func inconsistentFragments(indexing, search []string) string {
	empty, declared, names, indent := "searchFragments", "indexingFragments", indexing, "\n - "
	if len(indexing) == 0 {
		empty, declared, names, indent = "indexingFragments", "searchFragments", search, "\n  - "
	}
	listed := strings.Join(names[:min(3, len(names))], ", ")
	if len(names) > 3 {
		listed += ", ..."
	}
	return fmt.Sprintf("`%s` is empty, but `%s` declares %d fragments: %s%sHint: declare at least one fragment in `%s` or remove fragments from `%s` by setting them to `null`",
		empty, declared, len(names), listed, indent, empty, declared)
}

// checkRequest reports whether the request takes many texts at once.
func checkRequest(template json.RawMessage, fragments bool) (repeated bool, err *Error) {
	want, other, note := textPlaceholder, fragmentPlaceholder, "\n  - Note: this template is using a document template, and so expects to contain the placeholder %q rather than %q"
	if fragments {
		want, other, note = fragmentPlaceholder, textPlaceholder, "\n  - Note: this template is using fragments, and so expects to contain the placeholder %q rathern than %q"
	}
	repeated, problem := injectable(template, "request", want)
	if problem != "" {
		return false, restError(problem + fmt.Sprintf(note, want, other))
	}
	return repeated, nil
}

func checkResponse(template json.RawMessage, requestRepeats bool) *Error {
	repeated, problem := injectable(template, "response", embeddingPlaceholder)
	switch {
	case problem != "":
		return restError(problem)
	case repeated && !requestRepeats:
		return restError("in `response`: `response` has multiple embeddings, but `request` has only one text to embed")
	case !repeated && requestRepeats:
		return restError("in `response`: `response` has a single embedding, but `request` has multiple texts to embed")
	}
	return nil
}

// injectable checks a template that must hold its placeholder once, alone or in the first item of an array whose second
// item says that it repeats. The problem is "" when it does.
func injectable(template json.RawMessage, root, placeholder string) (repeated bool, problem string) {
	v, err := ParseJSON(template)
	if err != nil {
		return false, err.Error()
	}
	w := injectableWalk{root: root, placeholder: placeholder}
	switch w.value(&v, nil); {
	case w.problem != "":
		return false, w.problem
	case w.array == nil && w.single == nil:
		return false, "in `" + root + "`: \"" + placeholder + "\" not found"
	case w.array != nil && w.single != nil:
		return false, "in " + w.at(w.single) + ": Found \"" + placeholder + "\", but it was already present in " + w.at(w.arrayFirst) + " (repeated)"
	}
	return w.array != nil, ""
}

// injectableWalk looks for placeholders in a template; paths are never nil once found.
type injectableWalk struct {
	root, placeholder string
	single            []string // path of a placeholder by itself
	array             []string // path of the array that repeats
	arrayFirst        []string // path of the placeholder in its first item
	inRepeated        bool
	problem           string
}

func (w *injectableWalk) at(path []string) string { return "`" + w.root + strings.Join(path, "") + "`" }

func (w *injectableWalk) fail(path []string, what string) {
	if w.problem == "" {
		w.problem = "in " + w.at(path) + ": " + what
	}
}

func (w *injectableWalk) value(v *Value, path []string) {
	switch v.Kind {
	case KindString:
		w.text(v.Text, path)
	case KindObject:
		for i := range v.Members {
			w.value(&v.Members[i].Value, append(path[:len(path):len(path)], "."+v.Members[i].Key))
		}
	case KindArray:
		w.items(v, path)
	}
}

func (w *injectableWalk) text(text string, path []string) {
	switch {
	case text == w.placeholder && w.single != nil:
		w.fail(path, "Found \""+w.placeholder+"\", but it was already present in "+w.at(w.single))
	case text == w.placeholder:
		w.single = append([]string{}, path...)
	case text == repeatPlaceholder:
		w.fail(path, "\""+repeatPlaceholder+"\" appears outside of an array")
	}
}

func (w *injectableWalk) items(v *Value, path []string) {
	repeats := func(i int) bool { return v.Items[i].Kind == KindString && v.Items[i].Text == repeatPlaceholder }
	for i := range v.Items {
		if repeats(i) && i != 1 {
			w.fail(path, "\""+repeatPlaceholder+"\" expected at position #1, but found at position #"+strconv.Itoa(i))
			return
		}
	}
	switch {
	case len(v.Items) < 2 || !repeats(1):
		for i := range v.Items {
			w.value(&v.Items[i], itemPath(path, i))
		}
	case w.inRepeated:
		w.fail(path, "\""+repeatPlaceholder+"\" appears nested inside of a value that is itself repeated")
	case w.array != nil:
		w.fail(path, "Found \""+repeatPlaceholder+"\", but it was already present in "+w.at(w.array))
	default:
		w.repeated(&v.Items[0], path)
	}
}

func itemPath(path []string, i int) []string {
	return append(path[:len(path):len(path)], "["+strconv.Itoa(i)+"]")
}

// repeated looks into the first item of an array that repeats. Meilisearch leaves the index of the item out of the paths
// of what is wrong inside.
func (w *injectableWalk) repeated(first *Value, path []string) {
	inner := injectableWalk{root: w.root, placeholder: w.placeholder, inRepeated: true}
	inner.value(first, path)
	if inner.problem == "" && inner.single == nil {
		inner.fail(itemPath(path, 0), "Expected \""+w.placeholder+"\" inside of the repeated value")
	}
	if w.problem == "" {
		w.problem = inner.problem
	}
	w.array = append([]string{}, path...)
	if inner.single != nil {
		w.arrayFirst = append(itemPath(path, 0), inner.single[len(path):]...)
	}
}
