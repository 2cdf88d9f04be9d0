package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
)

// list prints what GET path answers, a list or an object that holds one as results: one row each, of these members.
func (a *API) list(ctx context.Context, path string, columns ...string) error {
	answer, err := a.get(ctx, path, nil)
	if err != nil {
		return err
	}
	return a.printList(answer, columns...)
}

func (a *API) printList(answer json.RawMessage, columns ...string) error {
	if a.flags.Output == "json" {
		return a.printJSON(answer)
	}
	rows, err := rowsOf(answer)
	if err != nil {
		return err
	}
	return writeTable(a.out, rows, columns)
}

// rowsOf reads a list of objects, or the only list in an object.
func rowsOf(answer json.RawMessage) ([]map[string]any, error) {
	if bytes.HasPrefix(bytes.TrimSpace(answer), []byte("{")) {
		var wrapped map[string]json.RawMessage
		if err := json.Unmarshal(answer, &wrapped); err != nil {
			return nil, err
		}
		answer = json.RawMessage("[]")
		for _, name := range []string{"results", "moves", "members"} {
			if inner, ok := wrapped[name]; ok {
				answer = inner
			}
		}
	}
	var rows []map[string]any
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	if err := decoder.Decode(&rows); err != nil {
		return nil, fmt.Errorf("the answer is not a list: %w", err)
	}
	return rows, nil
}

func writeTable(w io.Writer, rows []map[string]any, columns []string) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, strings.ToUpper(strings.ReplaceAll(strings.Join(columns, "\t"), "_", " ")))
	for _, row := range rows {
		cells := make([]string, len(columns))
		for i, column := range columns {
			cells[i] = cell(member(row, column))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

// member is what a dotted path names in an object, nil for nothing.
func member(row map[string]any, path string) any {
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		return row[name]
	}
	inner, _ := row[name].(map[string]any)
	return member(inner, rest)
}

// cell is one value on one line.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = cell(v[i])
		}
		return strings.Join(parts, ",")
	case map[string]any:
		var parts []string
		for _, name := range sortedNames(v) {
			parts = append(parts, name+"="+cell(v[name]))
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v)
}

// show prints what GET path answers, an object: one member a line.
func (a *API) show(ctx context.Context, path string) error {
	answer, err := a.get(ctx, path, nil)
	if err != nil {
		return err
	}
	return a.print(answer)
}

// send sends a request that changes something and prints the answer.
func (a *API) send(ctx context.Context, method, path string, body any) error {
	answer, err := a.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	return a.print(answer)
}

func (a *API) post(ctx context.Context, path string, body any) error {
	return a.send(ctx, http.MethodPost, path, body)
}

// print prints an object; lists in it become tables of their own.
func (a *API) print(answer json.RawMessage) error {
	if a.flags.Output == "json" {
		return a.printJSON(answer)
	}
	if len(bytes.TrimSpace(answer)) == 0 {
		fmt.Fprintln(a.out, "done")
		return nil
	}
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		return fmt.Errorf("the answer is not an object: %w", err)
	}
	table := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	lists := map[string][]map[string]any{}
	for _, name := range sortedNames(object) {
		if rows := objects(object[name]); rows != nil {
			lists[name] = rows
			continue
		}
		fmt.Fprintf(table, "%s\t%s\n", name, cell(object[name]))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, name := range sortedNames(lists) {
		fmt.Fprintf(a.out, "\n%s\n", name)
		if err := writeTable(a.out, lists[name], sortedNames(lists[name][0])); err != nil {
			return err
		}
	}
	return nil
}

// objects is v as a list of objects, nil for anything else and for an empty one.
func objects(v any) []map[string]any {
	list, _ := v.([]any)
	var rows []map[string]any
	for _, element := range list {
		row, ok := element.(map[string]any)
		if !ok {
			return nil
		}
		rows = append(rows, row)
	}
	return rows
}

func (a *API) printJSON(answer json.RawMessage) error {
	if len(bytes.TrimSpace(answer)) == 0 {
		return nil
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, answer, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.out, indented.String())
	return err
}
