package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestSlowViewersSlowNobody(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.largeFrames()
	const slow = 20
	for range slow {
		p.stare("p")
	}
	quick := p.follow("p")
	eventually(t, "all viewers are there", func() bool { return p.viewers() == slow+1 })

	// What lies between Popeye and a slow viewer is full after three frames, and
	// Popeye gives up on it some seconds later. Changes that another one sees in
	// between have passed all the slow ones.
	shown, passed := int64(0), 0
	for p.viewers() > 1 {
		p.visitor().cast("p", "o0").wants(t, http.StatusCreated)
		shown++
		quick.until(t, "a vote that was just cast", func(r result) bool { return r.Total == shown })
		if p.viewers() == slow+1 {
			passed++
		}
	}
	if passed < 4 {
		t.Errorf("while %d viewers did not read, another saw only %d changes", slow, passed)
	}
	p.result("p").wantCounts(t, shown, map[string]int64{"o0": shown})
}

func TestViewersWhoDoNotReadDoNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.largeFrames()
	for range 5 {
		p.stare("p")
	}
	quick := p.follow("p")
	for n := range 6 {
		p.visitor().cast("p", "o0").wants(t, http.StatusCreated)
		quick.until(t, "a vote that was just cast", func(r result) bool { return r.Total == int64(n+1) })
	}
	p.stop()
	if err := quick.end(); err != nil {
		t.Errorf("the stream of somebody who reads did not end well: %v", err)
	}
}

func TestIdleViewerIsSentNothingButAHeartbeat(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	s := p.follow("cats-dogs")
	s.until(t, "the first frame", func(r result) bool { return r.Total == 1 })
	// Repeats and refusals change nothing that is shown, pages even less.
	v := p.visitor()
	v.get("/r/cats-dogs").wants(t, http.StatusOK)
	v.cast("cats-dogs", "z").wants(t, http.StatusUnprocessableEntity)
	e, err := s.next()
	if err != nil {
		t.Fatal(err)
	}
	if e.comment == "" || e != (event{comment: e.comment}) {
		t.Fatalf("an idle viewer was sent %+v, want a heartbeat", e)
	}
	p.visitor().cast("cats-dogs", "b").wants(t, http.StatusCreated)
	s.until(t, "the next vote", func(r result) bool { return r.Total == 2 })
}

// largeFrames makes a poll p whose frames are so large that what lies between
// Popeye and a viewer is soon full.
func (p *process) largeFrames() {
	p.t.Helper()
	var options []string
	for i := range 64 {
		options = append(options, fmt.Sprintf(`{"id":"o%d","label":%q}`, i, strings.Repeat("🐢", 120)))
	}
	p.admin(http.MethodPost, "", `{"id":"p","question":"Which?","options":[`+strings.Join(options, ",")+`]}`).wants(p.t, http.StatusCreated)
}

// stare opens a stream and never reads it.
func (p *process) stare(poll string) {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.port())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		p.t.Fatal("no TCP connection")
	}
	if err := tcp.SetReadBuffer(4096); err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /api/v1/results/"+poll+"/stream HTTP/1.1\r\nHost: "+p.port()+"\r\n\r\n"); err != nil {
		p.t.Fatal(err)
	}
}

// viewers returns how many streams are open.
func (p *process) viewers() int {
	p.t.Helper()
	found := regexp.MustCompile(`(?m)^popeye_result_viewers (\d+)$`).FindStringSubmatch(p.metrics())
	if found == nil {
		p.t.Fatal("the metrics do not say how many viewers there are")
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}
