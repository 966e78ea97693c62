package load

import (
	"bytes"
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

func TestProgressIsTheShareOfTheVotesThatAreDoneAndTheRateOfThoseAcknowledged(t *testing.T) {
	r := &run{Config: Config{Votes: 100}, book: &book{done: 50, acked: 40}}
	share, text := r.progress(2 * time.Second)
	if want := "50 of 100 votes, 20/s"; share != 0.5 || text != want {
		t.Errorf("progress is %v and %q, want 0.5 and %q", share, text, want)
	}
}
