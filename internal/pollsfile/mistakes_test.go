package pollsfile_test

import (
	"strings"
	"testing"

	"popeye/internal/pollsfile"
)

// broken are files that Parse refuses, with all that it says about them. The
// schema refuses them too, except where a rule is beyond what it can say.
var broken = map[string]struct {
	file, want   string
	beyondSchema bool
	notYAML      bool
}{
	"empty":              {file: "", want: `polls.yaml: is empty; it needs at least polls: []`, notYAML: true},
	"only a comment":     {file: "# polls\n", want: `polls.yaml: is empty; it needs at least polls: []`, notYAML: true},
	"null":               {file: "~\n", want: `polls.yaml: is empty; it needs at least polls: []`},
	"no value":           {file: "polls:\n", want: `polls.yaml:1:1: polls: has no value (an unquoted # begins a comment)`},
	"a text":             {file: "hello\n", want: `polls.yaml:1:1: the file must be a mapping (keys: polls), is a single value`},
	"a list":             {file: "- id: p\n", want: `polls.yaml:1:1: the file must be a mapping (keys: polls), is a list`},
	"polls no list":      {file: "polls: {id: p}\n", want: `polls.yaml:1:8: polls: must be a list, is a mapping`},
	"another root key":   {file: "version: 1\npolls: []\n", want: `polls.yaml:1:1: unknown key "version" (known are polls)`},
	"typo in root key":   {file: "poll: []\n", want: "polls.yaml:1:1: unknown key \"poll\" (did you mean \"polls\"?)\npolls.yaml:1:1: missing: polls"},
	"empty poll":         {file: "polls: [{}]\n", want: `polls.yaml:1:9: missing: id, question, options`},
	"null poll":          {file: "polls:\n  -\n", want: `polls.yaml:2:4: a poll must be a mapping (keys: id, question, options, kind, min, max, policy, results, integrity, opens, closes), is empty`},
	"typo in key":        {file: poll("polcy: first"), want: `polls.yaml:5:5: unknown key "polcy" (did you mean "policy"?)`},
	"unknown key":        {file: poll("colour: red"), want: `polls.yaml:5:5: unknown key "colour" (known are id, question, options, kind, min, max, policy, results, integrity, opens, closes)`},
	"upper-case key":     {file: poll("Kind: single"), want: `polls.yaml:5:5: unknown key "Kind" (did you mean "kind"?)`},
	"duplicate key":      {file: poll("kind: single", "kind: multiple"), want: `polls.yaml:6:5: duplicate key "kind", first on line 5`, notYAML: true},
	"merge key":          {file: poll("<<: {kind: single}"), want: `polls.yaml:5:5: merge keys (<<) are not supported; write the keys out`, beyondSchema: true},
	"a list as key":      {file: poll("? [kind]\n    : single"), want: `polls.yaml:5:7: a key must be a single value, is a list`, notYAML: true},
	"bad kind":           {file: poll("kind: sngle"), want: `polls.yaml:5:11: kind: must be single or multiple, is "sngle"`},
	"empty kind":         {file: poll(`kind: ""`), want: `polls.yaml:5:11: kind: is empty; remove the key for its default`},
	"kind no text":       {file: poll("kind: [single]"), want: `polls.yaml:5:11: kind: must be a single value, is a list`},
	"bad policy":         {file: poll("policy: last"), want: `polls.yaml:5:13: policy: must be first or change, is "last"`},
	"bad results":        {file: poll("results: never"), want: `polls.yaml:5:14: results: must be always, after-vote or after-close, is "never"`},
	"bad integrity":      {file: poll("integrity: none"), want: `polls.yaml:5:16: integrity: must be browser, is "none"`},
	"later integrity":    {file: poll("integrity: code"), want: `polls.yaml:5:16: integrity: code is not there yet; only browser is`},
	"state":              {file: poll("state: draft"), want: `polls.yaml:5:5: unknown key "state" (known are id, question, options, kind, min, max, policy, results, integrity, opens, closes)`},
	"min zero":           {file: poll("kind: multiple", "min: 0"), want: `polls.yaml:6:10: min: must be a whole number from 1, without quotes, is "0"`},
	"min quoted":         {file: poll("kind: multiple", `min: "2"`), want: `polls.yaml:6:10: min: must be a whole number from 1, without quotes, is "2"`},
	"min no number":      {file: poll("kind: multiple", "min: {}"), want: `polls.yaml:6:10: min: must be a whole number from 1, without quotes, is a mapping`},
	"max in single":      {file: poll("max: 2"), want: `polls.yaml:2:5: kind: single takes no min and max; did you mean kind: multiple?`},
	"max above options":  {file: poll("kind: multiple", "max: 3"), want: `polls.yaml:6:10: max: must be min (1) to the number of options (2), is 3`, beyondSchema: true},
	"max below min":      {file: poll("kind: multiple", "min: 2", "max: 1"), want: `polls.yaml:7:10: max: must be min (2) to the number of options (2), is 1`, beyondSchema: true},
	"time without zone":  {file: poll("closes: 2026-12-31T18:00:00"), want: `polls.yaml:5:13: closes: has no time zone; write 2026-12-31T18:00:00Z for UTC, or 2026-12-31T18:00:00+01:00 for one hour ahead of it`},
	"only a date":        {file: poll("closes: 2026-12-31"), want: `polls.yaml:5:13: closes: must be a time such as 2026-12-31T18:00:00+01:00, is "2026-12-31"`},
	"no such day":        {file: poll("closes: 2026-02-30T18:00:00Z"), want: `polls.yaml:5:13: closes: must be a time such as 2026-12-31T18:00:00+01:00, is "2026-02-30T18:00:00Z"`, beyondSchema: true},
	"time before time":   {file: poll("closes: 0001-01-01T00:00:00Z"), want: `polls.yaml:5:13: closes: is before 1970`},
	"closes first":       {file: poll("opens: 2026-12-31T18:00:00Z", "closes: 2026-12-31T18:00:00+01:00"), want: `polls.yaml:6:13: closes: must be after opens`, beyondSchema: true},
	"bad id":             {file: strings.Replace(poll(), "id: p", "id: No Slug", 1), want: `polls.yaml:2:9: id: must be 1 to 64 lower-case letters, digits and inner hyphens, is "No Slug"`},
	"same id":            {file: poll() + "  - {id: p, question: Q?, options: [{id: a}, {id: b}]}\n", want: `polls.yaml:5:10: id: "p" is the id of the poll on line 2 already`, beyondSchema: true},
	"blank question":     {file: strings.Replace(poll(), "Q?", `" "`, 1), want: `polls.yaml:3:15: question: is missing`},
	"two lines":          {file: strings.Replace(poll(), "Q?", "|\n      Q?\n      Really?", 1), want: `polls.yaml:3:15: question: has a control character at byte 2`, beyondSchema: true},
	"NUL in text":        {file: strings.Replace(poll(), "Q?", `"Q\0"`, 1), want: `polls.yaml:3:15: question: has a control character at byte 1`, beyondSchema: true},
	"long question":      {file: strings.Replace(poll(), "Q?", strings.Repeat("ä", 301), 1), want: `polls.yaml:3:15: question: has 301 characters, at most 300 are allowed`},
	"one option":         {file: "polls: [{id: p, question: Q?, options: [{id: a}]}]", want: `polls.yaml:1:40: options: must be 2 to 64, are 1`},
	"no list of options": {file: "polls: [{id: p, question: Q?, options: a}]", want: `polls.yaml:1:40: options: must be a list, is a single value`},
	"plain option":       {file: optioned("Cats"), want: `polls.yaml:5:9: an option must be a mapping (keys: id, label, emoji, picture, color), is a single value`},
	"option without id":  {file: optioned("label: Cats"), want: `polls.yaml:5:9: missing: id`},
	"option key typo":    {file: optioned("{id: a, colour: \"#fff\"}"), want: `polls.yaml:5:17: unknown key "colour" (did you mean "color"?)`},
	"bare colour":        {file: optioned("id: a\n        color: #fff"), want: `polls.yaml:6:9: options[0].color: has no value (an unquoted # begins a comment)`},
	"bad colour":         {file: optioned("{id: a, color: red}"), want: `polls.yaml:5:24: options[0].color: must be #rgb or #rrggbb, is "red"`},
	"foreign picture":    {file: optioned(`{id: a, picture: "https://example.org/a.png"}`), want: `polls.yaml:5:26: options[0].picture: must be a path on this host or a data:image/ URL, so that no third party learns who votes`},
	"foreign picture //": {file: optioned(`{id: a, picture: //example.org/a.png}`), want: `polls.yaml:5:26: options[0].picture: must be a path on this host or a data:image/ URL, so that no third party learns who votes`},
	"blank label":        {file: optioned(`{id: a, label: " "}`), want: `polls.yaml:5:24: options[0].label: is blank`},
	"null label":         {file: optioned(`{id: a, label: null}`), want: `polls.yaml:5:17: options[0].label: has no value (an unquoted # begins a comment)`},
	"option id spaced":   {file: optioned(`{id: a b}`), want: `polls.yaml:5:14: options[0].id: must be 1 to 64 printable bytes without spaces, is "a b"`},
	"option id no text":  {file: optioned(`{id: [a]}`), want: `polls.yaml:5:14: options[0].id: must be a single value, is a list`},
	"option id binary":   {file: optioned(`{id: !!binary aGk=}`), want: `polls.yaml:5:14: options[0].id: must be plain text, has the tag "!!binary"`, beyondSchema: true},
	"same option id":     {file: optioned(`{id: b}`), want: `polls.yaml:6:14: options[1].id: "b" is the id of options[0] already`, beyondSchema: true},
	"shared mistake":     {file: "polls: [{id: p, question: Q?, options: &o [{id: a}, {}]}, {id: q, question: Q?, options: *o}]", want: `polls.yaml:1:53: missing: id`},
	"self-reference":     {file: "polls: &p [*p]", want: `polls.yaml:1:12: a poll must be a mapping (keys: id, question, options, kind, min, max, policy, results, integrity, opens, closes), is a list`, notYAML: true},
	"two documents":      {file: poll() + "---\n" + poll(), want: `polls.yaml:6:1: a second document begins here; put all polls into one list`, notYAML: true},
	"tab":                {file: "polls:\n\t- id: p\n", want: `polls.yaml:2:1: a tab cannot indent; use spaces`, notYAML: true},
	"not closed":         {file: poll("kind: [single\n    policy: first"), want: `polls.yaml:6:11: did not find expected ',' or ']' (while parsing a flow sequence from line 5)`, notYAML: true},
	"two colons":         {file: "polls: []: []\n", want: `polls.yaml:1:10: mapping values are not allowed in this context`, notYAML: true},
	"unknown alias":      {file: "polls: *all\n", want: `polls.yaml:1:8: unknown anchor 'all' referenced`, notYAML: true},
	"NUL":                {file: "polls: []\n# \x00\n", want: `polls.yaml:2:3: control characters are not allowed (value: 0)`, notYAML: true},
	"invalid UTF-8":      {file: "polls:\n- {id: ä\xff}\n", want: `polls.yaml:2:9: invalid leading UTF-8 octet (value: 255)`, notYAML: true},
}

func TestBrokenFilesAreToldWhatAndWhere(t *testing.T) {
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			polls, err := pollsfile.Parse(fileName, []byte(c.file))
			if err == nil {
				t.Fatalf("accepted: %+v", polls)
			}
			if got := err.Error(); got != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}
