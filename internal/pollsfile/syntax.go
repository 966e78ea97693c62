package pollsfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// parseSyntax returns the root of the only document in data.
func parseSyntax(name string, data []byte) (*yaml.Node, error) {
	if len(data) > MaxSize {
		return nil, &Error{File: name, Reason: fmt.Sprintf("has %d bytes, at most %d are allowed", len(data), MaxSize)}
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithV4Defaults())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	root, err := nextDocument(loader)
	if errors.Is(err, io.EOF) {
		return nil, &Error{File: name, Reason: "is empty; it needs at least polls: []"}
	}
	if err != nil {
		return nil, syntaxError(name, data, err)
	}
	second, err := nextDocument(loader)
	if errors.Is(err, io.EOF) {
		return root, nil
	}
	if err != nil {
		return nil, syntaxError(name, data, err)
	}
	return nil, errorAt(name, placeOf(second), "a second document begins here; put all polls into one list")
}

// nextDocument returns the root of the next document with something in it, or
// io.EOF.
func nextDocument(loader *yaml.Loader) (*yaml.Node, error) {
	for {
		var document yaml.Node
		if err := loader.Load(&document); err != nil {
			return nil, err
		}
		if len(document.Content) > 0 && !isNull(document.Content[0]) {
			return document.Content[0], nil
		}
	}
}

// syntaxError says what in data is no YAML, and where.
func syntaxError(name string, data []byte, err error) error {
	syntax, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return &Error{File: name, Reason: oneLine(err.Error())}
	}
	at := place{syntax.Mark.Line, syntax.Mark.Column}
	if syntax.Stage == yaml.ReaderStage { // not even decoded: there is only an offset
		at = placeOfOffset(data, syntax.Mark.Index)
	}
	reason := oneLine(syntax.Message)
	if hasTabAt(data, at) {
		reason = "a tab cannot indent; use spaces"
	}
	if begin := syntax.ContextMark.Line; begin > 0 && begin < at.line {
		reason += fmt.Sprintf(" (%s from line %d)", oneLine(syntax.ContextMsg), begin)
	}
	return errorAt(name, at, reason)
}

// oneLine returns s with every run of white space made one space.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func placeOfOffset(data []byte, offset int) place {
	before := data[:min(max(offset, 0), len(data))]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return place{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(line) + 1}
}

func hasTabAt(data []byte, at place) bool {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if i+1 == at.line {
			return at.column <= len(line) && strings.TrimLeft(string(line[:at.column]), " ") == "\t"
		}
	}
	return false
}
