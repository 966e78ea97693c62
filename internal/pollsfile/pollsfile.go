// Package pollsfile reads polls.yaml: the polls that an organiser writes down.
//
// It reads the syntax tree itself instead of decoding into structs, so that
// every mistake is told with the line and column where it stands, unknown keys
// included, and so that a text is what was written: an option's id may be 1,
// yes or 2.50 without quotes.
package pollsfile

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"popeye"
)

// Bounds of one file.
const (
	// MaxSize is the greatest size in bytes.
	MaxSize = 1 << 20
	// MaxPolls is the greatest number of polls.
	MaxPolls = 1000
)

// Parse returns the polls that data, a file called name, defines, with their
// defaults filled in and every rule of popeye.Poll.Validate kept. Otherwise its
// error has one line for each mistake, at most ten, and wraps an *Error for
// each. A file may define no polls (polls: []); an empty file is a mistake.
func Parse(name string, data []byte) ([]popeye.Poll, error) {
	root, err := parseSyntax(name, data)
	if err != nil {
		return nil, err
	}
	r := reader{mistakes: mistakes{file: name}, ids: map[string]place{}, fields: map[string]place{}}
	polls := r.document(root)
	if err := r.mistakes.err(); err != nil {
		return nil, err
	}
	return polls, nil
}

// reader turns a syntax tree into polls and collects what is wrong with it.
type reader struct {
	mistakes mistakes
	// ids says where the polls read so far have their ids.
	ids map[string]place
	// fields says where each field of the poll being read stands, by the paths
	// that popeye.InvalidError uses.
	fields map[string]place
}

func (r *reader) document(root *yaml.Node) []popeye.Poll {
	var polls []popeye.Poll
	r.mapping(root, "the file", "", []key{
		{name: "polls", required: true, read: func(n *yaml.Node, _ string) error {
			items, err := list(n, MaxPolls)
			for _, item := range items {
				polls = append(polls, r.poll(item))
			}
			return err
		}},
	})
	return polls
}

func (r *reader) poll(n *yaml.Node) popeye.Poll {
	var p popeye.Poll
	before := r.mistakes.found
	r.fields = map[string]place{}
	r.mapping(n, "a poll", "", []key{
		{name: "id", required: true, read: text(&p.ID)},
		{name: "question", required: true, read: text(&p.Question)},
		{name: "options", required: true, read: r.options(&p.Options)},
		{name: "kind", read: word(&p.Kind)},
		{name: "min", read: number(&p.Min)},
		{name: "max", read: number(&p.Max)},
		{name: "policy", read: word(&p.Policy)},
		{name: "results", read: word(&p.Results)},
		{name: "integrity", read: word(&p.Integrity)},
		{name: "opens", read: moment(&p.Opens)},
		{name: "closes", read: moment(&p.Closes)},
	})
	p = p.WithDefaults()
	if r.mistakes.found == before {
		r.validate(n, p)
	}
	return p
}

func (r *reader) options(into *[]popeye.Option) readFunc {
	return func(n *yaml.Node, path string) error {
		items, err := list(n, popeye.MaxOptions)
		for i, item := range items {
			at := fmt.Sprintf("%s[%d]", path, i)
			r.fields[at] = placeOf(item)
			*into = append(*into, r.option(item, at+"."))
		}
		return err
	}
}

func (r *reader) option(n *yaml.Node, prefix string) popeye.Option {
	var o popeye.Option
	r.mapping(n, "an option", prefix, []key{
		{name: "id", required: true, read: text(&o.ID)},
		{name: "label", read: text(&o.Label)},
		{name: "emoji", read: text(&o.Emoji)},
		{name: "picture", read: text(&o.Picture)},
		{name: "color", read: text(&o.Color)},
	})
	return o
}

// validate asks the domain about p, which was read from n without a mistake.
func (r *reader) validate(n *yaml.Node, p popeye.Poll) {
	if broken, ok := errors.AsType[*popeye.InvalidError](p.Validate()); ok {
		r.mistakes.add(r.placeOf(n, broken.Field), "%s", broken)
		return
	}
	at := r.placeOf(n, "id")
	if first, ok := r.ids[p.ID]; ok {
		r.mistakes.add(at, "id: %q is the id of the poll on line %d already", p.ID, first.line)
		return
	}
	r.ids[p.ID] = at
}

// placeOf returns where the field of the poll at n stands, or failing that what
// the field is part of.
func (r *reader) placeOf(n *yaml.Node, field string) place {
	for field != "" {
		if at, ok := r.fields[field]; ok {
			return at
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return placeOf(n)
}
