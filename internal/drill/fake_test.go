package drill

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"popeye"
	"popeye/internal/client"
	"popeye/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "the token"

// fake is a Popeye in one handler, which can be told to go wrong.
type fake struct {
	t *testing.T
	// trouble decides what goes wrong with the n-th request to vote. Nil: nothing.
	trouble func(n int) trouble
	// forget drops the n-th vote that is taken, although it is acknowledged.
	forget func(n int) bool
	// forge changes what is shown at the end: the result and the list of receipts.
	forge func(r *web.Result, receipts *[]string)

	mu       sync.Mutex
	requests int
	taken    int
	polls    map[string]*fakePoll
}

// trouble is what goes wrong with one request.
type trouble int

const (
	none        trouble = iota
	unavailable         // it is answered 503 with a problem, and the vote not taken
	lostReply           // it is answered 503 in a proxy's words, and the vote taken
	hangUp              // the connection ends, and the vote is taken
	gone                // it is answered 410
)

type fakePoll struct {
	popeye.Poll
	closed bool
	votes  map[string]*fakeVote
}

type fakeVote struct {
	choice  string
	stamp   popeye.Stamp
	receipt string
	stored  int64
	dropped bool
}

func newFake(t *testing.T) (*fake, string) {
	t.Helper()
	f := &fake{t: t, polls: map[string]*fakePoll{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin/api/v1/polls", f.apply)
	mux.HandleFunc("PATCH /admin/api/v1/polls/{poll}", f.close)
	mux.HandleFunc("GET /api/v1/polls/{poll}", f.show)
	mux.HandleFunc("POST /api/v1/votes/{poll}", f.cast)
	mux.HandleFunc("GET /api/v1/results/{poll}", f.result)
	mux.HandleFunc("GET /api/v1/results/{poll}/receipts", f.receipts)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return f, server.URL
}

func (f *fake) apply(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var p popeye.Poll
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.Validate() != nil || r.Header.Get("Authorization") != "Bearer "+token {
		f.t.Errorf("apply %+v: %v, %v", p, err, p.Validate())
	}
	f.polls[p.ID] = &fakePoll{Poll: p, votes: map[string]*fakeVote{}}
	web.JSON(w, http.StatusCreated, map[string]any{"id": p.ID, "state": popeye.Open})
}

func (f *fake) close(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polls[r.PathValue("poll")].closed = true
	web.JSON(w, http.StatusOK, map[string]any{"id": r.PathValue("poll"), "state": popeye.Closed})
}

func (f *fake) show(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.polls[r.PathValue("poll")] == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	web.JSON(w, http.StatusOK, map[string]any{"state": popeye.Open})
}

func (f *fake) cast(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body struct {
		Choices []string
		After   popeye.Stamp
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Choices) != 1 {
		f.t.Errorf("a vote for %v: %v", body.Choices, err)
		return
	}
	f.requests++
	what := none
	if f.trouble != nil {
		what = f.trouble(f.requests)
	}
	status := http.StatusServiceUnavailable
	var v *fakeVote
	switch what {
	case gone:
		status = http.StatusGone
	case unavailable:
	default:
		status, v = f.take(f.polls[r.PathValue("poll")], r.Header.Get("Idempotency-Key"), body.Choices[0], body.After)
	}
	switch what {
	case hangUp:
		panic(http.ErrAbortHandler)
	case unavailable:
		web.JSON(w, status, web.NewProblem(status, "wait a moment"))
		return
	case lostReply:
		http.Error(w, "no available server", http.StatusServiceUnavailable)
		return
	}
	if status >= http.StatusGone {
		web.JSON(w, status, map[string]any{})
		return
	}
	web.JSON(w, status, map[string]any{"choices": []string{v.choice}, "stamp": v.stamp, "receipt": v.receipt})
}

// take takes a vote, as several roles and servers do for the real one.
func (f *fake) take(p *fakePoll, key, choice string, after popeye.Stamp) (int, *fakeVote) {
	v := p.votes[key]
	stamp := popeye.Stamp(f.requests + 10)
	switch {
	case v == nil:
		f.taken++
		sum := sha256.Sum256([]byte(key))
		v = &fakeVote{choice: choice, stamp: stamp, receipt: base32.StdEncoding.EncodeToString(sum[:10]), stored: 1}
		v.dropped = f.forget != nil && f.forget(f.taken)
		p.votes[key] = v
		return http.StatusCreated, v
	case v.choice == choice:
		return http.StatusOK, v
	case p.Policy == popeye.First, after < v.stamp:
		return http.StatusConflict, v
	default:
		v.choice, v.stamp = choice, stamp
		v.stored++
		return http.StatusOK, v
	}
}

// final returns what is shown at the end.
func (f *fake) final(poll string) (web.Result, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.polls[poll]
	r := web.Result{Poll: poll, State: popeye.Provisional}
	if p.closed {
		r.State = popeye.Settled
	}
	votes := map[string]int64{}
	var receipts []string
	for _, v := range p.votes {
		if v.dropped {
			continue
		}
		votes[v.choice]++
		r.Total++
		r.Ledger.Stored += v.stored
		receipts = append(receipts, v.receipt)
	}
	r.Ledger.Accepted = r.Ledger.Stored
	for _, o := range p.Options {
		r.Options = append(r.Options, web.OptionResult{ID: o.ID, Votes: votes[o.ID]})
	}
	slices.Sort(receipts)
	if f.forge != nil {
		f.forge(&r, &receipts)
	}
	if r.Receipts == nil {
		sum := sha256.Sum256([]byte(lines(receipts)))
		r.Receipts = &web.ReceiptsResult{SHA256: hex.EncodeToString(sum[:])}
	}
	return r, receipts
}

func lines(of []string) string {
	var b strings.Builder
	for _, line := range of {
		b.WriteString(line + "\n")
	}
	return b.String()
}

func (f *fake) result(w http.ResponseWriter, r *http.Request) {
	result, _ := f.final(r.PathValue("poll"))
	web.JSON(w, http.StatusOK, result)
}

func (f *fake) receipts(w http.ResponseWriter, r *http.Request) {
	_, receipts := f.final(r.PathValue("poll"))
	_, _ = io.WriteString(w, lines(receipts))
}

// first reports whether r is the result of the poll of that policy.
func isFirst(r *web.Result) bool { return strings.HasSuffix(r.Poll, "-first") }

// most returns the position of the option with the most votes.
func most(r *web.Result) int {
	best := slices.MaxFunc(r.Options, func(a, b web.OptionResult) int { return cmp.Compare(a.Votes, b.Votes) })
	return slices.Index(r.Options, best)
}

// drillAt drills what serves at url, with 600 votes in a fraction of a second.
func drillAt(t *testing.T, url string, change func(*Config)) (Report, string) {
	t.Helper()
	var out strings.Builder
	cfg := Config{
		Seed: 7, Votes: 600, Duration: patience, Rate: 5000, Plan: "quiet", Dir: filepath.Join(t.TempDir(), "new"), Server: url, Token: token, Out: &out,
	}
	if change != nil {
		change(&cfg)
	}
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return report, out.String()
}

// wantEnd checks the last lines of what is printed.
func wantEnd(t *testing.T, out string, r Report) {
	t.Helper()
	want := fmt.Sprintf("\nacknowledged %d\nlost %d\ndoubled %d\ninvented %d\n", r.Acknowledged, r.Lost, r.Doubled, r.Invented)
	if !strings.HasSuffix(out, want) {
		t.Errorf("the report ends otherwise than with %q:\n%s", want, out)
	}
}

// everyOther lets things go wrong in turn with every second request.
func everyOther(n int) trouble {
	return map[int]trouble{0: unavailable, 2: lostReply, 4: hangUp}[n%6]
}

func organiserOf(url string) *client.Client { return client.New(url, token) }
