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

// sent are the calls that casts make, each as when it began and how many it brought.
type sent struct {
	casts
	began time.Time
	calls []call
}

type call struct {
	at    time.Duration
	casts int
}

// inTurn has as many casts come as are said for each moment, and waits for the
// answers.
func inTurn(t *testing.T, come ...call) []call {
	t.Helper()
	s := sent{began: time.Now()}
	var mu sync.Mutex
	s.send = func(_ context.Context, batch []*pending) error {
		mu.Lock()
		s.calls = append(s.calls, call{time.Since(s.began), len(batch)})
		mu.Unlock()
		time.Sleep(answersIn)
		return nil
	}
	var casters sync.WaitGroup
	for _, c := range come {
		time.Sleep(time.Until(s.began.Add(c.at)))
		for range c.casts {
			casters.Go(func() {
				if _, err := s.put(t.Context(), popeye.Cast{}, "", time.Minute); err != nil {
					t.Errorf("a cast got %v", err)
				}
			})
		}
		synctest.Wait()
	}
	casters.Wait()
	s.shut()
	return s.calls
}

func TestCastsThatComeSoonAfterAnAnswerShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := inTurn(t, call{0, 1}, call{answersIn / 2, 1}, call{answersIn + gather/2, 1})
		want := []call{{0, 1}, {answersIn + gather, 2}}
		if !slices.Equal(got, want) {
			t.Errorf("the calls were %v, want %v", got, want)
		}
	})
}

func TestACastToAnIdleServerWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := 2 * (answersIn + gather)
		got := inTurn(t, call{0, 1}, call{late, 1})
		want := []call{{0, 1}, {late, 1}}
		if !slices.Equal(got, want) {
			t.Errorf("the calls were %v, want %v", got, want)
		}
	})
}

func TestAWholeCallWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const moment = answersIn / 10
		come := []call{{0, 1}} // and then, all the calls that may be under way, and one that waits
		for n := range calls {
			come = append(come, call{time.Duration(n+1) * moment, together})
		}
		want := slices.Clone(come)
		want[calls].at = answersIn
		if got := inTurn(t, come...); !slices.Equal(got, want) {
			t.Errorf("the calls were %v, want %v", got, want)
		}
	})
}

// What a cast is kept in is used again for others, which have their own time.
func TestEachCastHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := casts{send: func(context.Context, []*pending) error {
			time.Sleep(answersIn)
			return nil
		}}
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
