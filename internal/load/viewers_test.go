package load

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryViewerGetsTheNewestFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		cfg := f.serve(t)
		cfg.Viewers, cfg.Rate, cfg.Votes = 50, 4, 12
		report := mustRun(t, cfg)
		v := report.Viewing
		if !report.OK || v == nil || v.Viewers != 50 || v.Lost != 0 || v.Behind != 0 {
			t.Fatalf("%+v", v)
		}
		if v.Frames+v.Merged != 50*12 {
			t.Errorf("%d frames and %d merged do not make 12 for each of 50", v.Frames, v.Merged)
		}
	})
}

func TestWhatViewersMissIsCounted(t *testing.T) {
	a := &Audience{first: map[int64]time.Time{}, seats: []seat{{since: 1, last: 1}, {since: 1, last: 1}, {since: 3, last: 3}}, spread: newSpread()}
	now := time.Now()
	for _, version := range []int64{2, 3, 4} {
		a.note(0, version, now)
	}
	a.note(1, 3, now.Add(time.Second))
	a.note(2, 4, now)
	got := a.Report()
	if got.Frames != 5 || got.Merged != 1 || got.Behind != 1 || got.Spread.Max.Round(time.Second) != time.Second {
		t.Errorf("%+v", got)
	}
}

func TestViewersWhoAreSentAwayAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		cfg := f.serve(t)
		cfg.Poll, cfg.Viewers = f.poll, 3
		a, err := Watch(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		close(f.gone)
		synctest.Wait()
		if got := a.Report(); got.Viewers != 3 || got.Lost != 3 {
			t.Errorf("%+v", got)
		}
		a.Close()
	})
}
