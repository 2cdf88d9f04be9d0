package config

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"miroir/fsm"
)

var update = flag.Bool("update", false, "rewrite the table in docs/configuration.md")

const (
	docPath  = "../docs/configuration.md"
	docBegin = "<!-- keys -->\n"
	docEnd   = "<!-- end of keys -->"
)

// TestDocumentation keeps the table of the documentation equal to the keys.
func TestDocumentation(t *testing.T) {
	content, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), docBegin)
	shown, after, ok2 := strings.Cut(rest, docEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %s and %s", docPath, docBegin, docEnd)
	}
	want := keyTable()
	if *update {
		if err := os.WriteFile(docPath, []byte(before+docBegin+want+docEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if shown != want {
		t.Errorf("%s does not show the keys as they are: go test ./config -run TestDocumentation -update", docPath)
	}
}

// keyTable is a line for each key.
func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | default | | meaning |\n|---|---|---|---|\n")
	for i := range keys {
		k := &keys[i]
		value := ""
		if v := fmt.Sprint(k.at(Default()).get()); v != "" && v != "[]" {
			value = "`" + v + "`"
		}
		scope := "P"
		if k.cluster {
			scope = "C"
		}
		if k.restart {
			scope = "C, restart"
		}
		help := k.help
		if k.short != "" {
			help += " Also `--" + k.short + "`."
		}
		if k.own != "" {
			help += " Changed by `" + k.own + "`."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, value, scope, help)
	}
	return b.String()
}

// TestEveryReplicatedValueHasAKey: what the cluster agrees on can be set.
func TestEveryReplicatedValueHasAKey(t *testing.T) {
	want := leaves(reflect.TypeFor[fsm.Config]())
	got := 0
	for i := range keys {
		if keys[i].cluster {
			got++
		}
	}
	if got != want {
		t.Errorf("%d keys of scope cluster for %d values of fsm.Config", got, want)
	}
}

func leaves(typ reflect.Type) int {
	if typ.Kind() != reflect.Struct {
		return 1
	}
	n := 0
	for i := range typ.NumField() {
		n += leaves(typ.Field(i).Type)
	}
	return n
}
