package redis

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab/labtest"
)

// A server without memory takes nothing new. All that leads out of it must work
// all the same: what is cast again is answered, what was taken is delivered,
// rounds are closed.
func TestAFullServerRefusesWhatIsNewAndDoesEverythingElse(t *testing.T) {
	t.Parallel()
	for name, never := range map[string]bool{"as Redis says": true, "as the share of its memory says": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFull(t)
			f.publish(1, popeye.Open)
			first := f.cast(1, 1, 100)
			f.want(first, popeye.Accepted, nil)
			if never {
				f.server.room.next.Store(math.MaxInt64) // never look
			}
			f.limit("1mb") // less than is in use
			if !never {
				f.until(func() bool { return !f.server.room.isThere(t.Context()) })
			}
			f.want(f.cast(2, 1, 100), "", popeye.ErrFull)
			f.want(first, popeye.Repeated, nil)
			f.want(f.cast(1, 2, 200), popeye.Already, nil)

			consumer := f.server.Consumer("c")
			f.ack(consumer, 0)
			f.publish(2, popeye.Closed)
			f.ack(consumer, 1)
			if err := f.server.Tend(t.Context()); err != nil {
				t.Fatalf("tend: %v", err)
			}
			st, err := f.server.Status(t.Context())
			if err != nil || st.Pending != 0 || len(st.Progress) != 1 {
				t.Fatalf("the server is %+v, %v, want nothing pending and the progress noted", st, err)
			}
		})
	}
}

func TestAServerWithRoomAgainTakesVotesAgain(t *testing.T) {
	t.Parallel()
	f := newFull(t)
	f.publish(1, popeye.Open)
	f.want(f.cast(1, 1, 100), popeye.Accepted, nil)
	f.limit("1mb")
	f.until(func() bool {
		_, err := f.server.Put(t.Context(), f.cast(2, 1, 100), time.Minute)
		return errors.Is(err, popeye.ErrFull)
	})
	f.limit("100mb")
	f.until(func() bool {
		_, err := f.server.Put(t.Context(), f.cast(2, 1, 100), time.Minute)
		return err == nil
	})
}

// Of casts that share a call, one may stand on another. With no memory left none
// of them does.
func TestCastsOfOneVoterThatShareACallAreAllRefusedByAFullServer(t *testing.T) {
	t.Parallel()
	f := newFull(t)
	f.publish(1, popeye.Open)
	f.want(f.cast(1, 1, 100), popeye.Accepted, nil)
	f.server.room.next.Store(math.MaxInt64)
	f.limit("1mb")
	var batch []*pending
	for _, c := range []popeye.Cast{f.cast(2, 1, 100), f.cast(2, 1, 100), f.cast(1, 1, 100), f.cast(2, 2, 100)} {
		text, err := textOf(c)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, &pending{cast: c, text: text})
	}
	if err := f.server.send(t.Context(), batch); err != nil {
		t.Fatalf("send: %v", err)
	}
	for i, p := range batch {
		if known := i == 2; known != (p.err == nil) || !known && !errors.Is(p.err, popeye.ErrFull) {
			t.Errorf("cast %d got %q, %v", i, p.answer.Outcome, p.err)
		}
	}
}

func TestRetentionShrinksAsMemoryGetsShort(t *testing.T) {
	t.Parallel()
	for part, want := range map[float64]time.Duration{0: time.Hour, 0.5: time.Hour, 0.75: time.Hour / 2, 1: 0, 2: 0} {
		if got := retentionAt(part, time.Hour); got != want {
			t.Errorf("with %g of the room in use the retention is %s, want %s", part, got, want)
		}
	}
}

// full is a server whose memory can be taken away.
type full struct {
	*testing.T
	server *Server
}

func newFull(t *testing.T) *full {
	t.Helper()
	s, err := Open(Config{Place: labtest.Redis(t).Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return &full{t, s}
}

// limit sets the server's maxmemory.
func (f *full) limit(to string) {
	f.Helper()
	b := f.server.client.B().ConfigSet().ParameterValue().ParameterValue("maxmemory", to).Build()
	if err := f.server.client.Do(f.Context(), b).Error(); err != nil {
		f.Fatalf("set maxmemory: %v", err)
	}
}

func (f *full) publish(version int64, state popeye.State) {
	f.Helper()
	d := popeye.Definition{Poll: popeye.Poll{ID: "p", Policy: popeye.First}, Round: 1, State: state}
	if err := f.server.Publish(f.Context(), popeye.NewCatalog(version, []popeye.Definition{d})); err != nil {
		f.Fatalf("publish: %v", err)
	}
}

func (*full) cast(voter byte, c popeye.Choices, s popeye.Stamp) popeye.Cast {
	return popeye.Cast{Vote: popeye.Vote{Round: 1, Voter: popeye.Voter{voter}, Choices: c, Stamp: s}}
}

func (f *full) want(c popeye.Cast, want popeye.Outcome, failure error) {
	f.Helper()
	a, err := f.server.Put(f.Context(), c, time.Minute)
	if a.Outcome != want || !errors.Is(err, failure) {
		f.Fatalf("the cast got %q, %v, want %q, %v", a.Outcome, err, want, failure)
	}
}

// ack receives one delivery, the seal of a round or else a vote, and acknowledges
// it.
func (f *full) ack(c *Consumer, seal int64) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	ds, err := c.Receive(ctx, 10)
	if err != nil || len(ds) != 1 || ds[0].Seal != seal {
		f.Fatalf("received %+v, %v", ds, err)
	}
	if err := c.Ack(ctx, ds); err != nil {
		f.Fatalf("ack: %v", err)
	}
}

func (f *full) until(holds func() bool) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Fatal("what was waited for did not come")
		}
	}
}
