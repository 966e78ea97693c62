package openapi_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"popeye/internal/web/openapi"
)

func load(t *testing.T) *openapi3.T {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestTheDocumentIsValidWithItsExamples(t *testing.T) {
	document := load(t)
	if !document.IsOpenAPI31OrLater() {
		t.Errorf("version %s", document.OpenAPI)
	}
	err := document.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation(),
		openapi3.EnableSchemaPatternValidation(), openapi3.EnableSchemaDefaultsValidation(), openapi3.EnableMultiError())
	if err != nil {
		t.Error(err)
	}
}

func TestEveryOperationIsDescribed(t *testing.T) {
	ids := map[string]string{}
	for path, item := range load(t).Paths.Map() {
		for method, operation := range item.Operations() {
			name := method + " " + path
			if operation.OperationID == "" || operation.Summary == "" || len(operation.Tags) == 0 {
				t.Errorf("%s lacks an id, a summary or tags", name)
			}
			if other, ok := ids[operation.OperationID]; ok {
				t.Errorf("%s and %s are both called %s", name, other, operation.OperationID)
			}
			ids[operation.OperationID] = name
		}
	}
}

func TestOnlyAdministrationNeedsAToken(t *testing.T) {
	for path, item := range load(t).Paths.Map() {
		for method, operation := range item.Operations() {
			var needs []string
			if operation.Security != nil {
				for _, alternative := range *operation.Security {
					needs = slices.AppendSeq(needs, maps.Keys(alternative))
				}
			}
			isAdmin := strings.HasPrefix(path, "/admin/")
			if slices.Contains(needs, "adminToken") != isAdmin {
				t.Errorf("%s %s needs %v", method, path, needs)
			}
			if isAdmin && operation.Responses.Status(http.StatusUnauthorized) == nil {
				t.Errorf("%s %s does not describe 401", method, path)
			}
		}
	}
}

func TestErrorsOfTheAPIAreProblemDetails(t *testing.T) {
	for path, item := range load(t).Paths.Map() {
		if !strings.Contains(path, "/api/") {
			continue
		}
		for method, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				if status >= "400" && response.Value.Content.Get("application/problem+json") == nil {
					t.Errorf("%s %s describes %s without problem details", method, path, status)
				}
			}
		}
	}
}

func TestSchemasTakeWhatTheyShouldAndNothingElse(t *testing.T) {
	document := load(t)
	for _, c := range []struct {
		schema, json string
		ok           bool
	}{
		{"Vote", `{"choices":["a"]}`, true},
		{"Vote", `{"choices":["a","b"],"after":1798736400123456}`, true},
		{"Vote", `{"choices":"a"}`, false},
		{"Vote", `{"choices":["a"],"after":-1}`, false},
		{"Vote", `{}`, false},
		{"Recorded", `{"status":"changed","choices":["b"],"stamp":2,"receipt":"MZXW6YTBOI2DKNRX"}`, true},
		{"Recorded", `{"status":"already","choices":["b"],"stamp":2,"receipt":"MZXW6YTBOI2DKNRX"}`, false},
		{"Recorded", `{"status":"changed","choices":["b"],"stamp":2,"receipt":"mzxw6ytboi2dknrx"}`, false},
		{"Recorded", `{"status":"changed","choices":[],"stamp":2,"receipt":"MZXW6YTBOI2DKNRX"}`, false},
		{"OtherVoteStands", `{"type":"about:blank","title":"Conflict","status":409,"outcome":"conflict","choices":["b"],"stamp":2,"receipt":"MZXW6YTBOI2DKNRX"}`, true},
		{"OtherVoteStands", `{"type":"about:blank","title":"Conflict","status":409}`, false},
		{"Application", `{"id":"p","question":"Q?","options":[{"id":"a"},{"id":"b"}]}`, true},
		{"Application", `{"id":"p","question":"Q?","options":[{"id":"a"},{"id":"b"}],"state":"draft","round":7}`, true},
		{"Application", `{"id":"p","question":"Q?","options":[{"id":"a"},{"id":"b"}],"polcy":"first"}`, false},
		{"Application", `{"id":"P","question":"Q?","options":[{"id":"a"},{"id":"b"}]}`, false},
		{"Application", `{"id":"p","question":"Q?","options":[{"id":"a"}]}`, false},
		{"Application", `{"id":"p","question":"Q?","options":[{"id":"a b"},{"id":"b"}]}`, false},
		{"Changes", `{"state":"closed"}`, true},
		{"Changes", `{"closes":null,"kind":null}`, true},
		{"Changes", `{"state":"final"}`, true},
		{"Changes", `{"state":"draft"}`, false},
		{"Changes", `{"round":7,"version":1,"incomplete":true}`, true},
		{"Changes", `{"polcy":"first"}`, false},
		{"Changes", `{}`, false},
		{"Definition", `{"id":"p","question":"Q?","options":[{"id":"a","label":"A"},{"id":"b","label":"B"}],"kind":"single","min":1,"max":1,"policy":"first","results":"always","integrity":"browser","state":"open","round":1,"version":1}`, true},
		{"Definition", `{"id":"p","question":"Q?","options":[{"id":"a"},{"id":"b"}],"kind":"single","min":1,"max":1,"policy":"first","results":"always","integrity":"browser","state":"open","round":1,"version":1}`, false},
		{"Result", `{"poll":"p","version":1,"state":"live","total":1,"options":[{"id":"a","label":"A","votes":1},{"id":"b","label":"B","votes":0}],"ledger":{"accepted":1,"queued":0,"stored":1,"rejected":0}}`, true},
		{"Result", `{"poll":"p","version":1,"state":"open","total":1,"options":[{"id":"a","label":"A","votes":1},{"id":"b","label":"B","votes":0}],"ledger":{"accepted":1,"queued":0,"stored":1,"rejected":0}}`, false},
		{"Result", `{"poll":"p","version":1,"state":"live","total":1,"options":[{"id":"a","label":"A","votes":-1},{"id":"b","label":"B","votes":0}],"ledger":{"accepted":1,"queued":0,"stored":1,"rejected":0}}`, false},
		{"Result", `{"poll":"p","version":1,"state":"final","incomplete":true,"receipts":{"sha256":"` + strings.Repeat("1f", 32) + `"},"total":1,"options":[{"id":"a","label":"A","votes":1},{"id":"b","label":"B","votes":0}],"ledger":{"accepted":1,"queued":0,"stored":1,"rejected":0}}`, true},
		{"Result", `{"poll":"p","version":1,"state":"final","receipts":{"sha256":""},"total":1,"options":[{"id":"a","label":"A","votes":1},{"id":"b","label":"B","votes":0}],"ledger":{"accepted":1,"queued":0,"stored":1,"rejected":0}}`, false},
		{"Fate", `{"receipt":"MZXW6YTBOI2DKNRX","poll":"p","state":"counted","cast":"2026-12-31T17:00:00Z"}`, true},
		{"Fate", `{"receipt":"MZXW6YTBOI2DKNRX","state":"rejected","cast":"2026-12-31T17:00:00Z","reason":"late"}`, true},
		{"Fate", `{"receipt":"MZXW6YTBOI2DKNRX","poll":"p","state":"queued","cast":"2026-12-31T17:00:00Z"}`, false},
		{"ParkedVotes", `{"parked":[{"round":-1,"reason":"late","votes":2,"oldest":"2026-12-31T17:00:00Z","newest":"2026-12-31T17:00:00Z"}]}`, true},
		{"ParkedVotes", `{"parked":[{"poll":"p","round":7,"votes":2,"oldest":"2026-12-31T17:00:00Z","newest":"2026-12-31T17:00:00Z"}]}`, false},
		{"Retried", `{"recorded":3,"rejected":2}`, true},
		{"Retried", `{"recorded":3,"rejected":-2}`, false},
		{"Dropped", `{"dropped":0}`, true},
		{"Invalid", `{"type":"about:blank","title":"Unprocessable Entity","status":422,"errors":[{"field":"id","reason":"is missing"}]}`, true},
		{"Invalid", `{"type":"about:blank","title":"Unprocessable Entity","status":422,"errors":[]}`, false},
	} {
		err := document.ValidateSchemaJSON(document.Components.Schemas[c.schema].Value, decode(t, c.json), openapi3.EnableJSONSchema2020())
		if (err == nil) != c.ok {
			t.Errorf("%s %s: %v", c.schema, c.json, err)
		}
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
