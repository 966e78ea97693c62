package pollsfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// readFunc reads the value at a path. Its error says what the value must be.
type readFunc func(value *yaml.Node, path string) error

// key is one key that a mapping may have.
type key struct {
	name     string
	required bool
	read     readFunc
}

// mapping reads n, which must be a mapping with some of keys. The paths of its
// fields begin with prefix.
func (r *reader) mapping(n *yaml.Node, what, prefix string, keys []key) {
	m := resolve(n)
	if m.Kind != yaml.MappingNode {
		r.mistakes.add(placeOf(n), "%s must be a mapping (keys: %s), is %s", what, names(keys), kindOf(m))
		return
	}
	seen := map[string]place{}
	for pair := range slices.Chunk(m.Content, 2) {
		r.pair(pair[0], pair[1], prefix, keys, seen)
	}
	missing := slices.DeleteFunc(slices.Clone(keys), func(k key) bool {
		_, ok := seen[k.name]
		return ok || !k.required
	})
	if len(missing) > 0 {
		r.mistakes.add(placeOf(m), "missing: %s", names(missing))
	}
}

// pair reads the value of one key, which is none of those seen already.
func (r *reader) pair(name, value *yaml.Node, prefix string, keys []key, seen map[string]place) {
	at := placeOf(name)
	k, err := findKey(name, keys)
	if err != nil {
		r.mistakes.add(at, "%s", err)
		return
	}
	if first, ok := seen[k.name]; ok {
		r.mistakes.add(at, "duplicate key %q, first on line %d", k.name, first.line)
		return
	}
	seen[k.name] = at
	path := prefix + k.name
	if isNull(resolve(value)) {
		r.mistakes.add(at, "%s: has no value (an unquoted # begins a comment)", path)
		return
	}
	r.fields[path] = placeOf(value)
	if err := k.read(resolve(value), path); err != nil {
		r.mistakes.add(placeOf(value), "%s: %s", path, err)
	}
}

// findKey returns the key that n names.
func findKey(n *yaml.Node, keys []key) (key, error) {
	if n.Tag == "!!merge" {
		return key{}, errors.New("merge keys (<<) are not supported; write the keys out")
	}
	name, err := written(resolve(n))
	if err != nil {
		return key{}, fmt.Errorf("a key %w", err)
	}
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, fmt.Errorf("unknown key %.80q (%s)", name, hint(name, keys))
	}
	return keys[i], nil
}

// resolve returns the node that n stands for. Since the shape of a file is
// fixed, aliases cannot multiply beyond the bounds of its lists.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// written returns the text of a single value as it was written, without its
// quotes and without the line feed that ends a block of text.
func written(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("must be a single value, is %s", kindOf(n))
	}
	switch n.Tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
	default:
		return "", fmt.Errorf("must be plain text, has the tag %.80q", n.Tag)
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return strings.TrimSuffix(n.Value, "\n"), nil
	}
	return n.Value, nil
}

// kindOf names what n is, for people.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	default:
		return "a single value"
	}
}
