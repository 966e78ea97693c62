package pollsfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// text reads a single value as the text that was written: 1, yes and 2.50 are
// texts too.
func text(into *string) readFunc {
	return func(n *yaml.Node, _ string) (err error) {
		*into, err = written(n)
		return err
	}
}

// word reads a text that stands for itself only when it is not empty.
func word[T ~string](into *T) readFunc {
	return func(n *yaml.Node, _ string) error {
		s, err := written(n)
		if err == nil && s == "" {
			return errors.New("is empty; remove the key for its default")
		}
		*into = T(s)
		return err
	}
}

// number reads a whole number from 1.
func number(into *int) readFunc {
	return func(n *yaml.Node, _ string) error {
		i, err := strconv.Atoi(n.Value)
		if n.Tag != "!!int" || err != nil || i < 1 {
			return fmt.Errorf("must be a whole number from 1, without quotes, is %s", quoted(n))
		}
		*into = i
		return nil
	}
}

// moment reads a point in time, as UTC.
func moment(into *time.Time) readFunc {
	return func(n *yaml.Node, _ string) error {
		s, err := written(n)
		if err != nil {
			return err
		}
		*into, err = parseTime(s)
		return err
	}
}

// parseTime understands RFC 3339, also with a space for its T and without
// seconds. A time without a zone is refused: the file may have been written
// where the clocks show another time than where it is read.
func parseTime(s string) (time.Time, error) {
	s = strings.Replace(s, " ", "T", 1)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if t.Year() < 1970 {
			return time.Time{}, errors.New("is before 1970")
		}
		return t.UTC(), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if _, err := time.Parse(layout, s); err == nil {
			return time.Time{}, fmt.Errorf("has no time zone; write %sZ for UTC, or %[1]s+01:00 for one hour ahead of it", s)
		}
	}
	return time.Time{}, fmt.Errorf("must be a time such as 2026-12-31T18:00:00+01:00, is %.80q", s)
}

// list returns the items of n, at most the given number of them.
func list(n *yaml.Node, most int) ([]*yaml.Node, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("must be a list, is %s", kindOf(n))
	}
	if len(n.Content) > most {
		return nil, fmt.Errorf("must be at most %d, are %d", most, len(n.Content))
	}
	return n.Content, nil
}

// quoted shows a value in a message.
func quoted(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return kindOf(n)
	}
	return fmt.Sprintf("%.80q", n.Value)
}
