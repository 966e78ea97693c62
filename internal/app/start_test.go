package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"popeye/internal/app"
	"popeye/internal/config"
)

// otherKey is a voter key that no round has begun with.
const otherKey = "0123456789abcdef0123456789abcdef"

// fails starts Popeye where it must not come up, and returns what it said.
func fails(t *testing.T, data string, args ...string) string {
	t.Helper()
	var said bytes.Buffer
	code := app.Run(t.Context(), app.Process{
		Args:   append([]string{"all", "--data", data, "--listen", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0"}, args...),
		Getenv: func(string) string { return "" }, Stdout: &said, Stderr: &said,
	})
	if code != 1 {
		t.Fatalf("exit code %d: %s", code, &said)
	}
	return said.String()
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFirstStartThatFailedIsMadeUpFor(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	if said := fails(t, data, "--listen", taken.Addr().String()); !strings.Contains(said, "--listen") {
		t.Errorf("a port in use: %s", said)
	}
	broken := write(t, filepath.Join(dir, "polls.yaml"), "polls:\n  - id: x\n    qestion: Q\n")
	if said := fails(t, data, "--polls", broken); !strings.Contains(said, "polls.yaml:3:5") {
		t.Errorf("a broken file: %s", said)
	}
	h := start(t, data)
	h.voter().cast("cats-dogs", `{"choices":["a"]}`).want(201)
	if token, err := os.ReadFile(filepath.Join(data, config.AdminTokenName)); err != nil || !strings.Contains(h.stdout(), strings.TrimSpace(string(token))) {
		t.Errorf("the first start that went well does not show the token: %s, %v", h.stdout(), err)
	}
}

func TestTokenIsShownOnce(t *testing.T) {
	data := t.TempDir()
	h := start(t, data)
	h.stop()
	token, err := os.ReadFile(filepath.Join(data, config.AdminTokenName))
	if err != nil {
		t.Fatal(err)
	}
	if again := start(t, data); strings.Contains(again.stdout(), strings.TrimSpace(string(token))) {
		t.Error("the second start shows the token too")
	}
}

func TestPollsThatWereDeletedDoNotComeBack(t *testing.T) {
	data := t.TempDir()
	h := start(t, data)
	h.admin(http.MethodDelete, "/cats-dogs", "").want(204)
	h.stop()
	h = start(t, data)
	if got := h.voter().get("/api/v1/polls").want(200); strings.TrimSpace(got.body) != `{"polls":[]}` {
		t.Errorf("got %s", got.body)
	}
	h.voter().form("/", "vote=a").want(404)
}

func TestLostVoterKeyIsSaidAtTheStart(t *testing.T) {
	data := t.TempDir()
	h := start(t, data)
	h.voter().cast("cats-dogs", `{"choices":["a"]}`).want(201)
	h.stop()
	other := write(t, filepath.Join(t.TempDir(), "keys"), otherKey)
	if said := fails(t, data, "--voter-key-file", other); !strings.Contains(said, "cats-dogs") || !strings.Contains(said, "--voter-key-file") {
		t.Errorf("said %s", said)
	}
	old, err := os.ReadFile(filepath.Join(data, config.VoterKeysName))
	if err != nil {
		t.Fatal(err)
	}
	// Both keys: the round goes on with its own.
	write(t, filepath.Join(data, config.VoterKeysName), otherKey+"\n"+string(old))
	start(t, data).voter().cast("cats-dogs", `{"choices":["a"]}`).want(201)
}

func TestTwoFirstStartsAtOnceAgreeOnTheSecrets(t *testing.T) {
	for range 10 {
		data := t.TempDir()
		var group sync.WaitGroup
		texts := make([][]byte, 8)
		for i := range texts {
			group.Go(func() {
				text, _, err := config.MakeSecret(filepath.Join(data, "secret"), fmt.Sprint("secret of ", i))
				if err != nil {
					t.Error(err)
				}
				texts[i] = text
			})
		}
		group.Wait()
		for _, text := range texts {
			if !bytes.Equal(text, texts[0]) {
				t.Fatal("two processes go on with different secrets")
			}
		}
	}
}

// A vote that is acknowledged while an organiser changes the options must be in
// the result, whichever of the two comes first.
func TestNoAcknowledgedVoteIsLostToAChangeOfTheBallot(t *testing.T) {
	h := start(t, t.TempDir())
	for i := range 10 {
		id := fmt.Sprintf("race-%d", i)
		define := func(options string) reply {
			return h.admin(http.MethodPost, "", fmt.Sprintf(`{"id":%q,"question":"Q","options":[{"id":"a"},{"id":"b"}%s]}`, id, options))
		}
		define("").want(201)
		var acknowledged atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if h.voter().cast(id, `{"choices":["a"]}`).status == http.StatusCreated {
					acknowledged.Add(1)
				}
			})
		}
		group.Go(func() { define(`,{"id":"c"}`) })
		group.Wait()
		if got := h.result(id); got.Total != acknowledged.Load() {
			t.Fatalf("%d votes were acknowledged, %d are counted", acknowledged.Load(), got.Total)
		}
	}
}

// Deleting a poll while it is looked at once took the whole process down.
func TestDeletingAPollThatIsWatchedHarmsNobody(t *testing.T) {
	h := start(t, t.TempDir())
	for range 10 {
		h.define("").want(201)
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { h.lookUntil(ctx) })
		}
		h.voter().cast("p", `{"choices":["a"]}`).want(201)
		h.admin(http.MethodDelete, "/p", "").want(204)
		h.voter().get("/api/v1/results/p").want(404)
		stop()
		group.Wait()
	}
	h.voter().get("/livez").want(404)
	h.voter().cast("cats-dogs", `{"choices":["a"]}`).want(201)
}

// lookUntil asks for the result of p, and follows its stream, until ctx is done.
func (h *house) lookUntil(ctx context.Context) {
	for ctx.Err() == nil {
		for _, path := range []string{"/api/v1/results/p", "/api/v1/results/p/stream"} {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
			if err != nil {
				h.t.Error(err)
				return
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				continue // ctx is done
			}
			if response.StatusCode >= http.StatusInternalServerError {
				h.t.Errorf("%s: %d", path, response.StatusCode)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}
}

func TestStampOfANonexistentFutureIsRefused(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(`,"policy":"change"`).want(201)
	v := h.voter()
	v.cast("p", `{"choices":["a"]}`).want(201)
	for _, after := range []string{"9223372036854775807", "9223372036854775806", "-1"} {
		v.cast("p", `{"choices":["b"],"after":`+after+`}`).want(422)
		v.form("/p/p", "vote=b&after="+after).want(422)
	}
	v.cast("p", `{"choices":["b"]}`).want(200)
}

func TestPatchChangesWhatItNamesAndNothingElse(t *testing.T) {
	h := start(t, t.TempDir())
	h.define("").want(201)
	h.admin("PATCH", "/p", `{"Question":"Other?"}`).want(400)
	h.admin("PATCH", "/p", `{"state":"closed"}`).want(200)
	h.eventually("the poll is final", func() bool { return h.result("p").State == "final" })
	h.admin("PATCH", "/p", `{"kind":"multiple"}`).want(200)
	var shown struct{ Min, Max int }
	if err := json.Unmarshal([]byte(h.admin("GET", "/p", "").want(200).body), &shown); err != nil || shown.Min != 1 || shown.Max != 3 {
		t.Errorf("kind multiple allows %+v, %v", shown, err)
	}
	h.admin("PATCH", "/p", `{"state":"open","round":1,"version":2}`).want(200)

	var group sync.WaitGroup
	group.Go(func() { h.admin("PATCH", "/p", `{"question":"Which one?"}`).want(200) })
	group.Go(func() { h.admin("PATCH", "/p", `{"results":"after-vote"}`).want(200) })
	group.Wait()
	if got := h.admin("GET", "/p", "").body; !strings.Contains(got, "Which one?") || !strings.Contains(got, "after-vote") {
		t.Errorf("one of two changes at once is lost: %s", got)
	}
}
