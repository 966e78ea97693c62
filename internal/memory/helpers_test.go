package memory_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"popeye"
	"popeye/internal/memory"
)

// openRound returns a queue in which round 1 is open under policy first.
func openRound(t *testing.T, c memory.QueueConfig) *memory.Queue {
	t.Helper()
	q := openQueue(t, c)
	publish(t, q, round("p", 1))
	return q
}

func round(id string, number int64) popeye.Definition {
	return popeye.Definition{Poll: popeye.Poll{ID: id, Policy: popeye.First}, Round: number, State: popeye.Open, Version: 1}
}

// laterRound returns round 1 in a later version.
func laterRound(s popeye.State, version int64) popeye.Definition {
	d := round("p", 1)
	d.State, d.Version = s, version
	return d
}

func voter(n int) popeye.Voter {
	var v popeye.Voter
	binary.BigEndian.PutUint64(v[:], uint64(n))
	return v
}

func cast(n int, c popeye.Choices, s popeye.Stamp) popeye.Cast {
	return popeye.Cast{Vote: popeye.Vote{Round: 1, Voter: voter(n), Choices: c, Stamp: s}}
}

type result struct {
	answer popeye.Answer
	err    error
}

// castWith casts in the background and returns the result and a way to give up.
// Casts made one after the other arrive in this order in a synctest bubble.
func castWith(t *testing.T, q *memory.Queue, c popeye.Cast) (<-chan result, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan result, 1)
	go func() {
		a, err := q.Enqueue(ctx, c)
		done <- result{a, err}
	}()
	synctest.Wait()
	return done, cancel
}

func receive(t *testing.T, q *memory.Queue, most int) []popeye.Delivery {
	t.Helper()
	ds, err := q.Receive(t.Context(), most)
	if err != nil {
		t.Errorf("receive: %v", err)
	}
	return ds
}

func ack(t *testing.T, q *memory.Queue, ds []popeye.Delivery) {
	t.Helper()
	if err := q.Ack(t.Context(), ds); err != nil {
		t.Errorf("ack: %v", err)
	}
}

// publish publishes the definitions as a catalog newer than the one before.
func publish(t *testing.T, q *memory.Queue, ds ...popeye.Definition) {
	t.Helper()
	if err := q.Publish(t.Context(), popeye.NewCatalog(q.Catalog().Version()+1, ds)); err != nil {
		t.Fatalf("publish: %v", err)
	}
}

func closeQueue(t *testing.T, q *memory.Queue) {
	t.Helper()
	if err := q.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func wantUnavailable(t *testing.T, r result) {
	t.Helper()
	if !errors.Is(r.err, popeye.ErrUnavailable) {
		t.Errorf("the cast got %q and %v, want unavailable", r.answer.Outcome, r.err)
	}
}

func wantOutcome(t *testing.T, r result, want popeye.Outcome) {
	t.Helper()
	if r.err != nil || r.answer.Outcome != want {
		t.Errorf("the cast got %q and %v, want %q", r.answer.Outcome, r.err, want)
	}
}
