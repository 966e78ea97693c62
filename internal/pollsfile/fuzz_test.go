package pollsfile_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"popeye"
	"popeye/internal/pollsfile"
)

func mustParse(t *testing.T, file string) []popeye.Poll {
	t.Helper()
	polls, err := pollsfile.Parse(fileName, []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return polls
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../../polls.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(poll("kind: multiple", "min: 1", "max: 2", "closes: 2026-12-31T18:00:00+01:00")))
	for _, c := range broken {
		f.Add([]byte(c.file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		polls, err := pollsfile.Parse(fileName, data)
		if err != nil {
			checkMistakes(t, err)
			return
		}
		ids := map[string]bool{}
		for _, p := range polls {
			if err := p.Validate(); err != nil {
				t.Errorf("accepted an invalid poll: %v", err)
			}
			if !reflect.DeepEqual(p, p.WithDefaults()) {
				t.Errorf("defaults are missing in %+v", p)
			}
			if ids[p.ID] {
				t.Errorf("accepted %q twice", p.ID)
			}
			ids[p.ID] = true
		}
	})
}

func checkMistakes(t *testing.T, err error) {
	t.Helper()
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, fileName+":") || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("not one plain line that names the file: %q", line)
		}
	}
}
