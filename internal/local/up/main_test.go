package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds each wait for a fact.
const patience = time.Minute

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// popeye is what run runs, as somebody before the screen has it.
type popeye struct {
	t    *testing.T
	base string

	cancel context.CancelFunc
	ended  chan int

	mu     sync.Mutex
	screen bytes.Buffer
	news   *sync.Cond
}

func (p *popeye) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news.Broadcast()
	return p.screen.Write(text)
}

// up starts it and waits until it says that it is ready.
func up(t *testing.T, binary, dir string) *popeye {
	t.Helper()
	p := &popeye{t: t, ended: make(chan int, 1)}
	p.news = sync.NewCond(&p.mu)
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(t.Context())
	go func() {
		code := run(ctx, []string{"--popeye", binary, "--dir", dir, "--listen", "127.0.0.1:0"}, p, p)
		p.ended <- code
		fmt.Fprintf(p, "ended with %d\n", code)
	}()
	p.base = p.shown(`ready: (http\S+)`)[1]
	return p
}

// shown waits until the screen shows something, and returns what.
func (p *popeye) shown(pattern string) []string {
	p.t.Helper()
	what := regexp.MustCompile(pattern)
	tooLong := time.AfterFunc(patience, p.news.Broadcast)
	defer tooLong.Stop()
	begin := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if found := what.FindStringSubmatch(p.screen.String()); found != nil {
			return found
		}
		if time.Since(begin) >= patience || strings.Contains(p.screen.String(), "ended with") {
			p.t.Fatalf("the screen never shows %s:\n%s", pattern, p.screen.String())
		}
		p.news.Wait()
	}
}

// down ends it as Ctrl-C does.
func (p *popeye) down() {
	p.t.Helper()
	p.cancel()
	p.shown(`ended with 0`)
}

// kill ends a part as kill -9 does.
func (p *popeye) kill(part string) {
	p.t.Helper()
	pid, err := strconv.Atoi(p.shown(`(?m)^  ` + part + ` +(\d+)`)[1])
	if err != nil {
		p.t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		p.t.Fatal(err)
	}
}

// vote casts a vote as a browser without JavaScript does, and tries again until
// it is acknowledged.
func (p *popeye) vote(option string) {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	client := &http.Client{
		Jar: jar, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	page := p.base + "/p/cats-dogs"
	form := url.Values{}
	p.insist(func() error {
		_, body, err := read(client.Get(page))
		for _, field := range regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			form.Set(field[1], field[2])
		}
		return err
	})
	form.Set("vote", option)
	p.insist(func() error {
		status, body, err := read(client.PostForm(page, form))
		if err == nil && status != http.StatusOK && status != http.StatusSeeOther {
			return fmt.Errorf("answered %d: %s", status, body)
		}
		return err
	})
}

// votes returns how many votes are counted.
func (p *popeye) votes() (total int, err error) {
	var result struct {
		Total int `json:"total"`
	}
	_, body, err := read(http.Get(p.base + "/api/v1/results/cats-dogs"))
	if err == nil {
		err = json.Unmarshal([]byte(body), &result)
	}
	return result.Total, err
}

// awaitVotes waits until as many votes are counted.
func (p *popeye) awaitVotes(want int) {
	p.t.Helper()
	p.insist(func() error {
		total, err := p.votes()
		if err == nil && total != want {
			err = fmt.Errorf("%d votes are counted, not %d", total, want)
		}
		return err
	})
}

// insist tries until it works.
func (p *popeye) insist(try func() error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			p.t.Fatal(err)
		}
	}
}

func read(response *http.Response, err error) (int, string, error) {
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err == nil && response.StatusCode >= http.StatusInternalServerError {
		err = fmt.Errorf("answered %s: %s", response.Status, body)
	}
	return response.StatusCode, string(body), err
}

// newDir returns a folder that the database's user may reach too.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "popeye-up-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "popeye")
	if out, err := exec.Command("go", "build", "-o", binary, "popeye/cmd/popeye").CombinedOutput(); err != nil {
		t.Fatalf("build Popeye: %v\n%s", err, out)
	}
	return binary
}

func TestUp(t *testing.T) {
	binary := build(t)
	t.Run("votes survive whatever is killed, and the next start", func(t *testing.T) { surviveKills(t, binary) })
	t.Run("streams end with it", func(t *testing.T) { endStreams(t, binary) })
}

func surviveKills(t *testing.T, binary string) {
	t.Helper()
	dir := newDir(t)
	p := up(t, binary, dir)
	const each = 20
	for range each {
		p.vote("a")
	}
	p.awaitVotes(each)
	for _, part := range []string{"redis-1", "poll-1", "worker-1"} {
		p.kill(part)
	}
	for range each {
		p.vote("b")
	}
	for _, part := range []string{"redis-1", "poll-1", "worker-1"} {
		p.shown(part + " runs again")
	}
	p.awaitVotes(2 * each)
	p.down()

	p = up(t, binary, dir)
	p.awaitVotes(2 * each)
	p.vote("a")
	p.awaitVotes(2*each + 1)
	p.down()
}

func endStreams(t *testing.T, binary string) {
	t.Helper()
	p := up(t, binary, newDir(t))
	response, err := http.Get(p.base + "/api/v1/results/cats-dogs/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	events := bufio.NewScanner(response.Body)
	await := func(line string) {
		t.Helper()
		for events.Scan() {
			if strings.Contains(events.Text(), line) {
				return
			}
		}
		t.Fatalf("the stream ends without %s: %v", line, events.Err())
	}
	await(`"total":0`)
	p.vote("b")
	await(`"total":1`)
	p.down()
	for events.Scan() { // to its end
	}
}
