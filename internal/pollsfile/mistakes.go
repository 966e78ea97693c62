package pollsfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Error is one mistake in a file.
type Error struct {
	// File is the name that Parse was given.
	File string
	// Line and Column count from 1, a column being a character. They are zero
	// for a mistake of the whole file.
	Line, Column int
	// Reason says what is wrong, in one line.
	Reason string
}

// Error gives the mistake in one line, in the form that editors understand:
// file:line:column: reason.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Reason
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Reason)
}

// place is a position in the file, counted from 1.
type place struct{ line, column int }

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

func errorAt(name string, at place, reason string) *Error {
	return &Error{File: name, Line: at.line, Column: at.column, Reason: reason}
}

// maxMistakes is how many mistakes are told at once.
const maxMistakes = 10

// mistakes are what is wrong with one file.
type mistakes struct {
	file string
	// found counts all mistakes, kept holds the first maxMistakes of them.
	found int
	kept  []*Error
}

func (m *mistakes) add(at place, format string, args ...any) {
	m.found++
	if len(m.kept) < maxMistakes {
		m.kept = append(m.kept, errorAt(m.file, at, fmt.Sprintf(format, args...)))
	}
}

// err returns the mistakes in the order of the file, each once: what is wrong
// with an anchored node is found again at each of its aliases.
func (m *mistakes) err() error {
	slices.SortStableFunc(m.kept, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	var errs []error
	for _, e := range slices.CompactFunc(m.kept, func(a, b *Error) bool { return *a == *b }) {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}
