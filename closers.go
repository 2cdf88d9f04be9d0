package main

import (
	"errors"
	"fmt"
)

// closers is a last-in-first-out list of named things to close. The zero value is ready.
type closers struct{ list []closer }

type closer struct {
	name  string
	close func() error
}

// Add puts a closer on top.
func (c *closers) Add(name string, close func() error) { c.list = append(c.list, closer{name, close}) }

// Close runs all of them, latest first, and joins their errors. A second call does nothing.
func (c *closers) Close() error {
	var failed error
	for len(c.list) > 0 {
		last := c.list[len(c.list)-1]
		c.list = c.list[:len(c.list)-1]
		if err := last.close(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("close %s: %w", last.name, err))
		}
	}
	return failed
}
