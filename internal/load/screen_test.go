package load

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestAloneInFlightAVoteIsMeasuredExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		f.interval = 37 * time.Millisecond
		f.before = func(int, http.ResponseWriter, *http.Request) bool {
			time.Sleep(5 * time.Millisecond)
			return false
		}
		cfg := f.serve(t)
		cfg.Rate, cfg.Votes = 4, 20
		report := mustRun(t, cfg)
		want := Quantiles{Count: 20, P50: 42 * time.Millisecond, P99: 42 * time.Millisecond, Max: 42 * time.Millisecond}
		if got := report.Screen.exact(); got != want {
			t.Errorf("vote to screen is %v, want %v", got, want)
		}
		if got := report.Latency.P50.Round(time.Millisecond); got != 5*time.Millisecond {
			t.Errorf("latency is %s", got)
		}
	})
}

// exact drops what three digits leave open.
func (q Quantiles) exact() Quantiles {
	for _, d := range []*time.Duration{&q.P50, &q.P99, &q.Max} {
		*d = d.Round(time.Millisecond)
	}
	return q
}

func TestAVoteIsSeenWithTheFirstFrameThatMustHaveIt(t *testing.T) {
	begin := time.Now()
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for name, tt := range map[string]struct {
		play          func(s *screen)
		counted       int64
		longest, sees int
		unseen        int64
	}{
		"a frame before its answer": {func(s *screen) {
			s.begin()
			s.show(101, at(10))
			s.acknowledge(at(0))
		}, 1, 10, 1, 0},
		"a frame that may be without it": {func(s *screen) {
			s.begin()
			s.begin()
			s.acknowledge(at(0))
			s.show(101, at(10))
			s.acknowledge(at(0))
			s.show(102, at(20))
		}, 2, 20, 2, 0},
		"others that were refused": {func(s *screen) {
			s.begin()
			s.begin()
			s.withdraw()
			s.acknowledge(at(0))
			s.show(101, at(10))
		}, 1, 10, 1, 0},
		"others that turn out not to count": {func(s *screen) {
			s.begin()
			s.begin()
			s.acknowledge(at(0))
			s.show(101, at(10))
		}, 1, 10, 1, 0},
		"no frame": {func(s *screen) {
			s.begin()
			s.acknowledge(at(0))
		}, 1, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScreen(100)
			tt.play(s)
			got, unseen := s.finish(tt.counted)
			longest := time.Duration(tt.longest) * time.Millisecond
			if got.Max.Round(time.Millisecond) != longest || got.Count != int64(tt.sees) || unseen != tt.unseen {
				t.Errorf("%+v, %d unseen", got, unseen)
			}
		})
	}
}
