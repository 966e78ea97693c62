package load

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestElsewhereThanOnATerminalProgressIsALineNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		cfg := newFake("a", "b").serve(t)
		cfg.Progress, cfg.Rate, cfg.Votes = &out, 10.25, 104
		mustRun(t, cfg)
		if got, want := out.String(), "52 of 104 votes, 10/s\n103 of 104 votes, 10/s\n"; got != want {
			t.Errorf("progress is %q, want %q", got, want)
		}
	})
}

func TestOnATerminalABarGrows(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, votes: 100, terminal: true, start: time.Now(), stop: make(chan struct{})}
	p.count = func() (int64, int64) { return 50, 40 }
	p.show(p.start.Add(2 * time.Second))
	p.end()
	bar := strings.Repeat("#", barWidth/2) + strings.Repeat(".", barWidth/2)
	if got, want := out.String(), "\r\x1b[K["+bar+"] 50 of 100 votes, 20/s\r\x1b[K"; got != want {
		t.Errorf("the terminal gets %q, want %q", got, want)
	}
}
