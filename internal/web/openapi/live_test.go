package openapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"popeye/internal/app"
	"popeye/internal/config"
)

// step is a request to a running Popeye, and the status that it gets. In path and
// body, {receipt} stands for the receipt of the vote that was accepted last.
type step struct {
	operation string
	path      string
	status    int
	body      string
	// header is one more header, "Name: value".
	header string
}

const (
	huge     = 64<<10 + 1
	definedP = `{"id":"p","question":"Q?","options":[{"id":"a"},{"id":"b"}],"results":"after-close"}`
	foreign  = "Origin: https://elsewhere.example"
	voter    = "Idempotency-Key: voter"
	form     = "application/x-www-form-urlencoded"
)

// steps tells a story that passes every answer that a client can bring about.
// The others, 429 and those of our own faults, are tested where they are made.
func steps() []step {
	keyTooLong := "Idempotency-Key: " + strings.Repeat("k", 256)
	tooLarge := strings.Repeat("x", huge)
	story := []step{
		{"showHome", "/", 200, "", ""},
		{"castHome", "/", 303, "vote=a", voter},
		{"castVote", "/api/v1/votes/cats-dogs", 201, `{"choices":["b"]}`, "Idempotency-Key: another"},
		{"castVote", "/api/v1/votes/cats-dogs", 200, `{"choices":["b"]}`, "Idempotency-Key: another"},
	}
	for operation, path := range map[string]string{"castHome": "/", "castForm": "/p/cats-dogs"} {
		story = append(story,
			step{operation, path, 303, "vote=a", voter},
			step{operation, path, 409, "vote=b", voter},
			step{operation, path, 400, "vote=a", keyTooLong},
			step{operation, path, 403, "vote=a", foreign},
			step{operation, path, 413, "vote=" + tooLarge, ""},
			step{operation, path, 415, "vote=a", "Content-Type: text/plain"},
			step{operation, path, 422, "vote=c", ""},
		)
	}
	story = append(story, []step{
		{"castVote", "/api/v1/votes/cats-dogs", 400, `{"choices":`, ""},
		{"castVote", "/api/v1/votes/cats-dogs", 403, `{"choices":["a"]}`, foreign},
		{"castVote", "/api/v1/votes/none", 404, `{"choices":["a"]}`, ""},
		{"castVote", "/api/v1/votes/cats-dogs", 409, `{"choices":["b"]}`, voter},
		{"castVote", "/api/v1/votes/cats-dogs", 413, tooLarge, ""},
		{"castVote", "/api/v1/votes/cats-dogs", 415, `{}`, "Content-Type: text/plain"},
		{"castVote", "/api/v1/votes/cats-dogs", 422, `{"choices":["a","b"]}`, ""},
		{"castForm", "/p/none", 404, "vote=a", ""},
		{"listPolls", "/api/v1/polls", 200, "", ""},
		{"showPoll", "/api/v1/polls/cats-dogs", 200, "", ""},
		{"showPoll", "/api/v1/polls/none", 404, "", ""},
		{"showResult", "/api/v1/results/cats-dogs", 200, "", ""},
		{"showResult", "/api/v1/results/cats-dogs", 304, "", "If-None-Match: *"},
		{"showResult", "/api/v1/results/none", 404, "", ""},
		{"showResult", "/api/v1/results/cats-dogs?format=csv", 200, "", ""},
		{"showResult", "/api/v1/results/cats-dogs?format=json", 200, "", ""},
		{"showResult", "/api/v1/results/cats-dogs?format=pdf", 400, "", ""},
		{"listReceipts", "/api/v1/results/cats-dogs/receipts", 409, "", ""},
		{"listReceipts", "/api/v1/results/none/receipts", 404, "", ""},
		{"findReceipt", "/api/v1/receipts/{receipt}", 200, "", ""},
		{"findReceipt", "/api/v1/receipts/AAAAAAAAAAAAAAAA", 404, "", ""},
		{"findReceipt", "/api/v1/receipts/AAAA", 400, "", ""},
		{"showReceiptsPage", "/r/cats-dogs/receipts", 200, "", ""},
		{"showReceiptsPage", "/r/none/receipts", 404, "", ""},
		{"lookUpReceipt", "/r/cats-dogs/receipts", 200, "receipt={receipt}", ""},
		{"lookUpReceipt", "/r/cats-dogs/receipts", 400, "receipt=AAAA", ""},
		{"lookUpReceipt", "/r/cats-dogs/receipts", 404, "receipt=AAAAAAAAAAAAAAAA", ""},
		{"lookUpReceipt", "/r/cats-dogs/receipts", 413, tooLarge, ""},
		{"lookUpReceipt", "/r/cats-dogs/receipts", 415, "receipt=AAAA", "Content-Type: text/plain"},
		{"followResult", "/api/v1/results/none/stream", 404, "", ""},
		{"showDocument", "/api/openapi.yaml", 200, "", ""},
		{"showVotingPage", "/p/cats-dogs", 200, "", ""},
		{"showVotingPage", "/p/none", 404, "", ""},
		{"showResultPage", "/r/cats-dogs", 200, "", ""},
		{"showResultPage", "/r/none", 404, "", ""},
		{"exportCSV", "/r/cats-dogs.csv", 200, "", ""},
		{"exportCSV", "/r/none.csv", 404, "", ""},
		{"exportJSON", "/r/cats-dogs.json", 200, "", ""},
		{"exportJSON", "/r/none.json", 404, "", ""},
		{"isAlive", "/livez", 200, "", ""},
		{"isReady", "/readyz", 200, "", ""},
		{"showMetrics", "/metrics", 200, "", ""},
	}...)
	return append(story, organisersSteps(tooLarge)...)
}

func organisersSteps(tooLarge string) []step {
	const polls, parked, wrong = "/admin/api/v1/polls", "/admin/api/v1/parked", "Authorization: Bearer wrong"
	return []step{
		{"listAllPolls", polls, 200, "", ""},
		{"listAllPolls", polls, 401, "", wrong},
		{"applyPoll", polls, 201, definedP, ""},
		{"applyPoll", polls, 200, definedP, ""},
		{"applyPoll", polls, 400, `{"polcy":"first"}`, ""},
		{"applyPoll", polls, 401, definedP, wrong},
		{"applyPoll", polls, 413, tooLarge, ""},
		{"applyPoll", polls, 415, definedP, "Content-Type: text/plain"},
		{"applyPoll", polls, 422, `{"id":"Bad id"}`, ""},
		{"showResult", "/api/v1/results/p", 403, "", ""},
		{"followResult", "/api/v1/results/p/stream", 403, "", ""},
		{"showResultPage", "/r/p", 403, "", ""},
		{"exportCSV", "/r/p.csv", 403, "", ""},
		{"exportJSON", "/r/p.json", 403, "", ""},
		{"castVote", "/api/v1/votes/p", 201, `{"choices":["a"]}`, ""},
		{"castHome", "/", 409, "vote=a", ""},
		{"applyPoll", polls, 409, strings.Replace(definedP, `"b"`, `"c"`, 1), ""},
		{"showAnyPoll", polls + "/p", 200, "", ""},
		{"showAnyPoll", polls + "/p", 401, "", wrong},
		{"showAnyPoll", polls + "/none", 404, "", ""},
		{"changePoll", polls + "/p", 400, `{"polcy":"first"}`, ""},
		{"changePoll", polls + "/p", 401, `{"state":"closed"}`, wrong},
		{"changePoll", polls + "/none", 404, `{"state":"closed"}`, ""},
		{"changePoll", polls + "/p", 409, `{"policy":"change"}`, ""},
		{"changePoll", polls + "/p", 413, tooLarge, ""},
		{"changePoll", polls + "/p", 415, `{"state":"closed"}`, "Content-Type: text/plain"},
		{"changePoll", polls + "/p", 422, `{"question":""}`, ""},
		{"changePoll", polls + "/p", 409, `{"state":"final"}`, ""},
		{"changePoll", polls + "/p", 200, `{"state":"closed"}`, ""},
		{"changePoll", polls + "/cats-dogs", 200, `{"state":"closed"}`, ""},
		{"castVote", "/api/v1/votes/p", 410, `{"choices":["a"]}`, ""},
		{"castForm", "/p/p", 410, "vote=a", ""},
		{"castHome", "/", 410, "vote=a", ""},
		{"listReceipts", "/api/v1/results/p/receipts", 200, "", ""},
		{"listReceipts", "/api/v1/results/p/receipts", 304, "", "If-None-Match: *"},
		{"changePoll", polls + "/p", 200, `{"state":"final"}`, ""},
		{"listParked", parked, 200, "", ""},
		{"listParked", parked, 401, "", wrong},
		{"retryParked", parked + "/1/retry", 200, "", ""},
		{"retryParked", parked + "/p/retry", 400, "", ""},
		{"retryParked", parked + "/1/retry", 401, "", wrong},
		{"dropParked", parked + "/1", 200, "", ""},
		{"dropParked", parked + "/p", 400, "", ""},
		{"dropParked", parked + "/1", 401, "", wrong},
		{"showResult", "/api/v1/results/p", 200, "", ""},
		{"exportAnyResult", polls + "/p/results", 200, "", ""},
		{"exportAnyResult", polls + "/p/results?format=csv", 200, "", ""},
		{"exportAnyResult", polls + "/p/results?format=pdf", 400, "", ""},
		{"exportAnyResult", polls + "/p/results", 401, "", wrong},
		{"exportAnyResult", polls + "/none/results", 404, "", ""},
		{"deletePoll", polls + "/p", 401, "", wrong},
		{"deletePoll", polls + "/p", 204, "", ""},
		{"deletePoll", polls + "/p", 404, "", ""},
		{"deletePoll", polls + "/cats-dogs", 204, "", ""},
		{"castHome", "/", 404, "vote=a", ""},
	}
}

func TestEveryAnswerIsAsDescribed(t *testing.T) {
	p := start(t)
	p.checkStream("/api/v1/results/cats-dogs/stream")
	for _, s := range steps() {
		p.check(s)
	}
	for name, o := range p.operations {
		for status := range o.Responses.Map() {
			if status < "429" && !p.seen[name+" "+status] {
				t.Errorf("%s never answered %s", name, status)
			}
		}
	}
}

// process is a running Popeye, and the document that describes it.
type process struct {
	t           *testing.T
	addr, ops   string
	token       string
	document    *openapi3.T
	operations  map[string]operation
	seen        map[string]bool
	withoutJump http.Client
	// receipt is that of the vote that was accepted last.
	receipt string
}

type operation struct {
	*openapi3.Operation

	method string
}

// start starts Popeye and returns when it serves.
func start(t *testing.T) *process {
	t.Helper()
	p := &process{t: t, document: load(t), operations: map[string]operation{}, seen: map[string]bool{}}
	p.withoutJump.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, item := range p.document.Paths.Map() {
		for method, o := range item.Operations() {
			p.operations[o.OperationID] = operation{o, method}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	log, stderr := io.Pipe()
	ended := make(chan struct{})
	data := t.TempDir()
	go func() {
		defer close(ended)
		code := app.Run(ctx, app.Process{
			Args:   []string{"all", "--data", data, "--listen", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--log-format", "json"},
			Getenv: func(string) string { return "" },
			Stdout: io.Discard,
			Stderr: stderr,
		})
		_ = stderr.CloseWithError(fmt.Errorf("Popeye ended with %d", code))
	}()
	t.Cleanup(func() {
		p.withoutJump.CloseIdleConnections()
		cancel()
		<-ended
	})
	p.awaitServing(log)
	token, err := os.ReadFile(filepath.Join(data, config.AdminTokenName))
	if err != nil {
		t.Fatal(err)
	}
	p.token = strings.TrimSpace(string(token))
	return p
}

// awaitServing reads the log until it says where Popeye serves, and drains it
// from then on.
func (p *process) awaitServing(log io.Reader) {
	p.t.Helper()
	lines := bufio.NewReader(log)
	for p.addr == "" {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			p.t.Fatal(err)
		}
		var line struct {
			Msg, Addr string
			OpsAddr   string `json:"ops_addr"`
		}
		if json.Unmarshal(text, &line) == nil && line.Msg == "serving" {
			p.addr, p.ops = "http://"+line.Addr, "http://"+line.OpsAddr
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
}

// check takes a step, and compares the answer with its description.
func (p *process) check(s step) {
	p.t.Helper()
	s.path, s.body = strings.ReplaceAll(s.path, "{receipt}", p.receipt), strings.ReplaceAll(s.body, "{receipt}", p.receipt)
	got := p.take(s)
	// What closing leads to comes a moment later: the result is final, and then its
	// list is certified.
	for later := time.After(30 * time.Second); s.operation == "listReceipts" && s.status < 400 && got.status != s.status; {
		select {
		case <-later:
			p.t.Fatalf("%s never answers %d", s.path, s.status)
		case <-time.After(50 * time.Millisecond):
			got = p.take(s)
		}
	}
	if got.status != s.status {
		p.t.Errorf("%s %s: got %d, want %d: %.200s", s.operation, s.path, got.status, s.status, got.body)
		return
	}
	p.compare(s.operation, got)
	if s.operation == "castVote" && s.status == http.StatusCreated {
		var recorded struct{ Receipt string }
		if err := json.Unmarshal(got.body, &recorded); err != nil {
			p.t.Error(err)
		}
		p.receipt = recorded.Receipt
	}
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// take sends the request of a step, and reads the answer.
func (p *process) take(s step) reply {
	p.t.Helper()
	answer := p.send(s)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, body}
}

func (p *process) send(s step) *http.Response {
	p.t.Helper()
	o := p.operations[s.operation]
	host := p.addr
	if len(o.Tags) > 0 && o.Tags[0] == "operations" {
		host = p.ops
	}
	r, err := http.NewRequestWithContext(p.t.Context(), o.method, host+s.path, strings.NewReader(s.body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	if o.RequestBody != nil {
		r.Header.Set("Content-Type", "application/json")
		if o.RequestBody.Value.Content.Get("application/json") == nil {
			r.Header.Set("Content-Type", form)
		}
	}
	if name, value, ok := strings.Cut(s.header, ": "); ok {
		r.Header.Set(name, value)
	}
	answer, err := p.withoutJump.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

// compare reports what in the answer is not as the document says.
func (p *process) compare(name string, got reply) {
	p.t.Helper()
	p.seen[fmt.Sprintf("%s %d", name, got.status)] = true
	where := fmt.Sprintf("%s %d", name, got.status)
	described := p.operations[name].Responses.Status(got.status)
	if described == nil {
		p.t.Errorf("%s is not described", where)
		return
	}
	for header, h := range described.Value.Headers {
		value := got.header.Get(header)
		if h.Value.Required && value == "" {
			p.t.Errorf("%s lacks %s", where, header)
		}
		if h.Value.Schema.Value.Pattern != "" {
			p.conforms(where+" "+header, h.Value.Schema, value)
		}
	}
	kind, _, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if len(described.Value.Content) == 0 {
		if len(got.body) > 0 {
			p.t.Errorf("%s has a body: %.200s", where, got.body)
		}
		return
	}
	content := described.Value.Content[kind]
	if err != nil || content == nil {
		p.t.Errorf("%s is of type %q", where, kind)
		return
	}
	switch {
	case strings.HasSuffix(kind, "json"):
		p.conforms(where, content.Schema, decode(p.t, string(got.body)))
	case kind == "text/plain":
		p.conforms(where, content.Schema, string(got.body))
	}
}

func (p *process) conforms(where string, schema *openapi3.SchemaRef, value any) {
	p.t.Helper()
	if err := p.document.ValidateSchemaJSON(schema.Value, value, openapi3.EnableJSONSchema2020()); err != nil {
		p.t.Errorf("%s: %v", where, err)
	}
}

// checkStream compares the first event of a stream with its description.
func (p *process) checkStream(path string) {
	p.t.Helper()
	answer := p.send(step{operation: "followResult", path: path})
	defer func() { _ = answer.Body.Close() }()
	p.compare("followResult", reply{answer.StatusCode, answer.Header, nil})
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			p.conforms("an event", p.document.Components.Schemas["Result"], decode(p.t, data))
			return
		}
	}
	p.t.Errorf("the stream ended without an event: %v", lines.Err())
}
