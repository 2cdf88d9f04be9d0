package main

import "testing"

// Every bug has its place in the code, so that a run of an hour does not end with one that could not be planted.
func TestEveryBugCanBePlanted(t *testing.T) {
	t.Chdir("../..")
	dir := t.TempDir()
	for _, m := range mutants {
		if _, err := m.overlay(dir); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}
