package pollsfile_test

import (
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

const schemaFile = "../../docs/polls.schema.json"

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// instance returns what an editor that knows the schema sees in file.
func instance(t *testing.T, file string) any {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(file), &root); err != nil {
		t.Fatal(err)
	}
	plainTimes(&root)
	var v any
	if err := root.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// plainTimes makes times texts, as they are in YAML 1.2 and in JSON.
func plainTimes(n *yaml.Node) {
	if n.Tag == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, child := range n.Content {
		plainTimes(child)
	}
}

func TestTheSchemaRefusesWhatParseRefuses(t *testing.T) {
	schema := compileSchema(t)
	for name, c := range broken {
		if c.notYAML {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if err := schema.Validate(instance(t, c.file)); (err == nil) != c.beyondSchema {
				t.Errorf("beyond the schema: %v, yet it says: %v", c.beyondSchema, err)
			}
		})
	}
}

func TestTheSchemaTakesWhatParseTakes(t *testing.T) {
	example, err := os.ReadFile("../../polls.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	schema := compileSchema(t)
	for name, file := range map[string]string{
		"the example":   string(example),
		"no polls":      "polls: []",
		"the least":     poll(),
		"all rules":     poll("kind: multiple", "min: 1", "max: 2", "policy: change", "results: after-vote", "integrity: browser"),
		"times":         poll("opens: 2026-12-01 09:00+01:00", "closes: 2026-12-31T18:00:00.5Z"),
		"spelt out":     poll("kind: single", "min: 1", "max: 1"),
		"a number":      optioned("{id: 1, label: 2.50, emoji: 5}"),
		"a boolean":     optioned("{id: true, label: no}"),
		"empty texts":   optioned(`{id: a, label: "", emoji: "", picture: "", color: ""}`),
		"local picture": optioned(`{id: a, picture: /static/a.png, color: "#C0FFEE"}`),
		"data picture":  optioned(`{id: a, picture: "data:image/svg+xml,<svg/>", color: "#fff"}`),
	} {
		t.Run(name, func(t *testing.T) {
			mustParse(t, file)
			if err := schema.Validate(instance(t, file)); err != nil {
				t.Error(err)
			}
		})
	}
}
