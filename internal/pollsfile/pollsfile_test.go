package pollsfile_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"popeye"
	"popeye/internal/pollsfile"
)

const fileName = "polls.yaml"

// poll returns a file with one poll that is well as it is, and more lines in it
// from line 5 on, in column 5.
func poll(lines ...string) string {
	file := "polls:\n  - id: p\n    question: Q?\n    options: [{id: a}, {id: b}]\n"
	for _, line := range lines {
		file += "    " + line + "\n"
	}
	return file
}

// optioned returns a file with one poll, whose first option is written as
// given, in line 5 from column 9 on.
func optioned(option string) string {
	return "polls:\n  - id: p\n    question: Q?\n    options:\n      - " + option + "\n      - {id: b}\n"
}

func TestParseFillsInWhatIsLeftOut(t *testing.T) {
	polls, err := pollsfile.Parse(fileName, []byte(poll()))
	if err != nil {
		t.Fatal(err)
	}
	want := []popeye.Poll{{
		ID: "p", Question: "Q?", Options: []popeye.Option{{ID: "a", Label: "a"}, {ID: "b", Label: "b"}},
		Kind: popeye.Single, Min: 1, Max: 1, Policy: popeye.First, Results: popeye.Always, Integrity: popeye.Browser,
	}}
	if !reflect.DeepEqual(polls, want) {
		t.Errorf("got  %+v\nwant %+v", polls, want)
	}
}

func TestParseReadsEveryField(t *testing.T) {
	file := `
polls:
  - id: lunch
    question: "What's for lunch?"
    kind: multiple
    min: 1
    max: 2
    policy: change
    results: after-close
    integrity: browser
    opens: 2026-12-01T09:00:00Z
    closes: 2026-12-31T18:00:00+01:00
    options:
      - {id: a, label: Pizza, emoji: 🍕, picture: /static/pizza.png, color: "#c00"}
      - {id: b, label: Curry}
      - {id: c}
`
	polls, err := pollsfile.Parse(fileName, []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := []popeye.Poll{{
		ID: "lunch", Question: "What's for lunch?",
		Options: []popeye.Option{
			{ID: "a", Label: "Pizza", Emoji: "🍕", Picture: "/static/pizza.png", Color: "#c00"},
			{ID: "b", Label: "Curry"},
			{ID: "c", Label: "c"},
		},
		Kind: popeye.Multiple, Min: 1, Max: 2, Policy: popeye.Change, Results: popeye.AfterClose, Integrity: popeye.Browser,
		Opens:  time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC),
		Closes: time.Date(2026, 12, 31, 17, 0, 0, 0, time.UTC),
	}}
	if !reflect.DeepEqual(polls, want) {
		t.Errorf("got  %+v\nwant %+v", polls, want)
	}
}

func TestATextIsWhatWasWritten(t *testing.T) {
	for written, want := range map[string]string{
		"1": "1", "007": "007", "1_000": "1_000", "0x1F": "0x1F", "2.50": "2.50", "-3": "-3", ".inf": ".inf",
		"yes": "yes", "No": "No", "true": "true", "FALSE": "FALSE", "2026-12-31": "2026-12-31",
		`"quoted"`: "quoted", "'it''s'": "it's", "!!str 5": "5", "Grün": "Grün",
	} {
		t.Run(written, func(t *testing.T) {
			polls, err := pollsfile.Parse(fileName, []byte(optioned("{id: "+written+"}")))
			if err != nil {
				t.Fatal(err)
			}
			if got := polls[0].Options[0]; got.ID != want || got.Label != want {
				t.Errorf("got %+v, want %q", got, want)
			}
		})
	}
}

func TestParseTakesWhateverMeansTheSame(t *testing.T) {
	want, err := pollsfile.Parse(fileName, []byte(poll()))
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"CRLF":                        strings.ReplaceAll(poll(), "\n", "\r\n"),
		"byte order mark":             "\ufeff" + poll(),
		"UTF-16":                      utf16(poll()),
		"JSON with tabs":              "{\n\t\"polls\": [\n\t\t{\"id\": \"p\", \"question\": \"Q?\", \"options\": [{\"id\": \"a\"}, {\"id\": \"b\"}]}\n\t]\n}\n",
		"document markers":            "# polls\n---\n" + poll() + "...\n---\n# nothing more\n",
		"a block of text":             strings.Replace(poll(), "Q?", ">\n      Q?", 1),
		"an anchor and its alias":     "polls:\n  - id: &name p\n    question: Q?\n    options: [{id: &a a, label: *a}, {id: b}]\n",
		"defaults that are spelt out": poll("kind: single", "min: 1", "max: 1", "policy: first", "results: always", "integrity: browser"),
		"empty texts":                 strings.Replace(poll(), "{id: a}", `{id: a, label: "", emoji: "", picture: "", color: ""}`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pollsfile.Parse(fileName, []byte(file))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func utf16(ascii string) string {
	encoded := "\xff\xfe"
	for _, c := range []byte(ascii) {
		encoded += string([]byte{c, 0})
	}
	return encoded
}

func TestTimes(t *testing.T) {
	noon := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	for written, want := range map[string]time.Time{
		"2026-12-31T12:00:00Z":             noon,
		"2026-12-31T13:00:00+01:00":        noon,
		"2026-12-31 13:00:00+01:00":        noon,
		"2026-12-31T12:00Z":                noon,
		"2026-12-31 04:00-08:00":           noon,
		`"2026-12-31T12:00:00Z"`:           noon,
		"2026-12-31T12:00:00.25Z":          noon.Add(250 * time.Millisecond),
		"1999-12-31T23:59:59Z # long past": time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		t.Run(written, func(t *testing.T) {
			polls, err := pollsfile.Parse(fileName, []byte(poll("closes: "+written)))
			if err != nil {
				t.Fatal(err)
			}
			if got := polls[0].Closes; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestAFileMayDefineNoPolls(t *testing.T) {
	polls, err := pollsfile.Parse(fileName, []byte("polls: []\n"))
	if err != nil || len(polls) != 0 {
		t.Errorf("got %v, %v", polls, err)
	}
}

func TestPollsMayShareOptionsByAlias(t *testing.T) {
	file := poll() + "  - {id: q, question: Again?, options: &yes-no [{id: y}, {id: n}]}\n  - {id: r, question: Sure?, options: *yes-no}\n"
	polls, err := pollsfile.Parse(fileName, []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(polls[1].Options, polls[2].Options) {
		t.Errorf("got %v and %v", polls[1].Options, polls[2].Options)
	}
}

func TestErrorsNameFileLineAndColumn(t *testing.T) {
	_, err := pollsfile.Parse("a/b.yaml", []byte(poll("polcy: first")))
	var mistake *pollsfile.Error
	if !errors.As(err, &mistake) {
		t.Fatalf("got %T", err)
	}
	want := pollsfile.Error{File: "a/b.yaml", Line: 5, Column: 5, Reason: `unknown key "polcy" (did you mean "policy"?)`}
	if *mistake != want {
		t.Errorf("got %+v, want %+v", *mistake, want)
	}
}

func TestAtMostTenMistakesAreTold(t *testing.T) {
	var lines []string
	for i := range 50 {
		lines = append(lines, fmt.Sprintf("unknown-%d: 1", i))
	}
	_, err := pollsfile.Parse(fileName, []byte(poll(lines...)))
	told := strings.Split(err.Error(), "\n")
	if len(told) != 10 || !strings.HasPrefix(told[0], "polls.yaml:5:5: unknown key \"unknown-0\"") {
		t.Errorf("got %d mistakes:\n%v", len(told), err)
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"bytes": {
			file: poll() + strings.Repeat("# filler\n", pollsfile.MaxSize/8),
			want: fmt.Sprintf("polls.yaml: has %d bytes, at most 1048576 are allowed", len(poll())+9*(pollsfile.MaxSize/8)),
		},
		"polls": {
			file: "polls: [" + strings.Repeat("{},", pollsfile.MaxPolls+1) + "]",
			want: "polls.yaml:1:8: polls: must be at most 1000, are 1001",
		},
		"options": {
			file: "polls: [{id: p, question: Q?, options: [" + strings.Repeat("{},", popeye.MaxOptions+1) + "]}]",
			want: "polls.yaml:1:40: options: must be at most 64, are 65",
		},
		"options behind aliases": {
			file: "polls: [{id: p, question: Q?, options: &o [" + strings.Repeat("{},", 100_000) + "]}" +
				strings.Repeat(", {id: p, question: Q?, options: *o}", pollsfile.MaxPolls-1) + "]",
			want: "polls.yaml:1:40: options: must be at most 64, are 100000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pollsfile.Parse(fileName, []byte(c.file))
			if err == nil {
				t.Fatal("accepted")
			}
			if got, _, _ := strings.Cut(err.Error(), "\n"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTheExampleIsGood(t *testing.T) {
	data, err := os.ReadFile("../../polls.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	polls, err := pollsfile.Parse("polls.example.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(polls) < 3 {
		t.Errorf("only %d polls", len(polls))
	}
}
