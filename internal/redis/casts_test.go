package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"popeye"
)

// answersIn is how long the server of these tests takes for a call.
const answersIn = time.Millisecond

// call is when a call began, and how many casts it brought; or when so many casts
// came.
type call struct {
	at    time.Duration
	casts int
}

// slowly is a server that answers each cast with its own stamp, and notes its calls.
type slowly struct {
	casts
	began time.Time

	mu    sync.Mutex
	calls []call
	// fails is what it answers instead, if not nil.
	fails error
}

func newSlowly() *slowly {
	s := &slowly{began: time.Now()}
	s.send = func(_ context.Context, batch []*pending) error {
		s.mu.Lock()
		s.calls = append(s.calls, call{time.Since(s.began), len(batch)})
		s.mu.Unlock()
		time.Sleep(answersIn)
		for _, p := range batch {
			p.answer.Mark.Stamp = p.cast.Stamp
		}
		return s.fails
	}
	return s
}

func (s *slowly) wantCalls(t *testing.T, want ...call) {
	t.Helper()
	if !slices.Equal(s.calls, want) {
		t.Errorf("the calls were %v, want %v", s.calls, want)
	}
}

func stamped(n int) popeye.Cast { return popeye.Cast{Vote: popeye.Vote{Stamp: popeye.Stamp(n)}} }

// wantCalls has as many casts come as are said for each moment, and sees which calls
// they make, and that each of them gets its own answer.
func wantCalls(t *testing.T, come, want []call) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSlowly()
		var casters sync.WaitGroup
		stamp := 0
		for _, c := range come {
			time.Sleep(time.Until(s.began.Add(c.at)))
			for range c.casts {
				stamp++
				mine := stamped(stamp)
				casters.Go(func() {
					a, err := s.put(t.Context(), mine, "", time.Minute)
					if err != nil || a.Mark.Stamp != mine.Stamp {
						t.Errorf("cast %d got %+v, %v", mine.Stamp, a, err)
					}
				})
			}
			synctest.Wait()
		}
		casters.Wait()
		s.shut()
		s.wantCalls(t, want...)
	})
}

func TestACastToAnIdleServerWaitsForNothing(t *testing.T) {
	come := []call{{0, 1}, {2 * (answersIn + gather), 1}}
	wantCalls(t, come, come)
}

// Three casters go around, another one comes beside them.
func TestACallWaitsForThoseWhoWereAnsweredToComeAgain(t *testing.T) {
	const second = 2*answersIn + gather
	wantCalls(t,
		[]call{{0, 1}, {answersIn / 2, 3}, {second - gather/2, 1}, {second + gather/3, 2}, {second + gather/2, 1}},
		[]call{{0, 1}, {answersIn + gather, 3}, {second + gather/2, 4}})
}

func TestACallWaitsForOthersAMomentOnly(t *testing.T) {
	wantCalls(t,
		[]call{{0, 1}, {answersIn / 2, 3}},
		[]call{{0, 1}, {answersIn + gather, 3}})
}

// All calls that may be under way are, and a whole one waits, and a few.
func TestAWholeCallGoesAsSoonAsItMay(t *testing.T) {
	const moment = answersIn / 10
	come := []call{{0, 1}}
	for n := range calls {
		come = append(come, call{time.Duration(n+1) * moment, together})
	}
	want := slices.Clone(come)
	want[calls].at = answersIn
	wantCalls(t, come, want)
	few := call{time.Duration(calls+1) * moment, 3}
	wantCalls(t, append(come, few), append(want, call{answersIn + moment, few.casts}))
}

// What a cast is kept in is used again for others, which have their own time.
func TestEachCastHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowly()
		for range 20 {
			for within, want := range map[time.Duration]error{2 * (answersIn + gather): nil, answersIn / 2: popeye.ErrUnavailable} {
				if _, err := s.put(t.Context(), popeye.Cast{}, "", within); !errors.Is(err, want) {
					t.Errorf("a cast that had %s got %v, want %v", within, err, want)
				}
			}
		}
		s.shut()
	})
}

// One of two casters is on its way when both leave or have waited for long enough,
// the other one waits.
func TestCastersLeaveWhenTheyWant(t *testing.T) {
	const soon = answersIn / 2
	for name, limits := range map[string]func(context.Context) (context.Context, context.CancelFunc, time.Duration){
		"by their context": func(ctx context.Context) (context.Context, context.CancelFunc, time.Duration) {
			ctx, cancel := context.WithTimeout(ctx, soon)
			return ctx, cancel, time.Minute
		},
		"by their time": func(ctx context.Context) (context.Context, context.CancelFunc, time.Duration) {
			return ctx, func() {}, soon
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlowly()
				ctx, cancel, within := limits(t.Context())
				defer cancel()
				var casters sync.WaitGroup
				for range 2 {
					casters.Go(func() {
						if _, err := s.put(ctx, popeye.Cast{}, "", within); !errors.Is(err, popeye.ErrUnavailable) {
							t.Errorf("the caster got %v", err)
						}
					})
					synctest.Wait()
				}
				casters.Wait()
				if took := time.Since(s.began); took != soon {
					t.Errorf("they left after %s, want %s", took, soon)
				}
				s.shut()
				s.wantCalls(t, call{0, 1})
			})
		})
	}
}

func TestCastsThatWaitForAServerThatFailsFailAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowly()
		s.fails = popeye.ErrUnavailable
		var casters sync.WaitGroup
		for range 3 {
			casters.Go(func() {
				if _, err := s.put(t.Context(), popeye.Cast{}, "", time.Minute); !errors.Is(err, popeye.ErrUnavailable) {
					t.Errorf("the caster got %v", err)
				}
			})
			synctest.Wait()
		}
		casters.Wait()
		s.wantCalls(t, call{0, 1})
		s.fails = nil
		if a, err := s.put(t.Context(), stamped(1), "", time.Minute); err != nil || a.Mark.Stamp != 1 {
			t.Errorf("the next cast got %+v, %v", a, err)
		}
		s.shut()
	})
}
