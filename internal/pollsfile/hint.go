package pollsfile

import (
	"fmt"
	"strings"
)

// hint helps with a name that is none of keys.
func hint(name string, keys []key) string {
	nearest, least := "", maxTypos+1
	for _, k := range keys {
		if d := distance(name, k.name); d < least && 2*d <= len(k.name) {
			nearest, least = k.name, d
		}
	}
	if nearest == "" {
		return "known are " + names(keys)
	}
	return fmt.Sprintf("did you mean %q?", nearest)
}

// maxTypos is how many letters may differ before a name is another word.
const maxTypos = 2

func names(keys []key) string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.name
	}
	return strings.Join(all, ", ")
}

// distance counts the bytes to insert, delete or replace to make b of a. It
// does not bother to count where the lengths alone differ too much.
func distance(a, b string) int {
	if d := len(a) - len(b); d > maxTypos || d < -maxTypos {
		return maxTypos + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
