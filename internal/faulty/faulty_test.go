package faulty_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"popeye"
	"popeye/internal/faulty"
)

func TestACallThatFailsAfterTheFactHasDoneItsWork(t *testing.T) {
	s := &store{}
	f := faulty.NewStore(1, faulty.Faults{After: 1}, s, s)
	if _, err := f.Record(t.Context(), make([]popeye.Vote, 3), popeye.Progress{}); !errors.Is(err, faulty.ErrInjected) {
		t.Errorf("Record returned %v, want an injected fault", err)
	}
	if s.recorded != 3 {
		t.Errorf("%d votes were recorded, want 3", s.recorded)
	}
}

func TestACallThatFailsBeforeTheFactHasDoneNothing(t *testing.T) {
	s := &store{}
	f := faulty.NewStore(1, faulty.Faults{Before: 1}, s, s)
	for what, err := range map[string]error{
		"Record":       second(f.Record(t.Context(), make([]popeye.Vote, 3), popeye.Progress{})),
		"Park":         second(f.Park(t.Context(), make([]popeye.Parked, 3))),
		"Certify":      f.Certify(t.Context()),
		"Catalog":      second(f.Catalog(t.Context())),
		"NameVoterKey": f.NameVoterKey(t.Context(), "k"),
		"Close":        f.Close(t.Context(), 1),
		"Finalise":     f.Finalise(t.Context(), 1),
	} {
		if !errors.Is(err, faulty.ErrInjected) {
			t.Errorf("%s returned %v, want an injected fault", what, err)
		}
	}
	if *s != (store{}) {
		t.Errorf("the store was called: %+v", *s)
	}
}

func TestTheSameSeedFailsTheSameCalls(t *testing.T) {
	run := func(seed uint64) []bool {
		s := &store{}
		f := faulty.NewStore(seed, faulty.Faults{Before: 0.3, After: 0.3}, s, s)
		var failed []bool
		for range 100 {
			failed = append(failed, f.Close(t.Context(), 1) != nil)
		}
		return failed
	}
	if !slices.Equal(run(1), run(1)) {
		t.Error("one seed made two different runs")
	}
	if slices.Equal(run(1), run(2)) {
		t.Error("two seeds made the same run")
	}
}

func TestWhatIsNotAcknowledgedIsDeliveredAgain(t *testing.T) {
	inner := &queue{deliveries: []popeye.Delivery{{ID: "1"}, {ID: "2", Seal: 1}, {ID: "3"}}}
	q := faulty.NewQueue(1, faulty.Faults{Before: 0.9}, inner)
	lost := 0
	for inner.acked == 0 {
		ds, err := q.Receive(t.Context(), 10)
		if errors.Is(err, faulty.ErrInjected) {
			continue
		}
		if len(ds) != 3 || ds[2].Seal != 1 {
			t.Fatalf("received %+v, %v, want everything with the seal last", ds, err)
		}
		if err := q.Ack(t.Context(), ds); err != nil {
			lost++
		}
	}
	if lost == 0 || inner.acked != 3 {
		t.Errorf("%d acknowledgements were lost, then %d deliveries acknowledged, want some, then 3", lost, inner.acked)
	}
}

func TestEverythingMayComeTwiceButNeverMoreThanWasAskedFor(t *testing.T) {
	inner := &queue{deliveries: []popeye.Delivery{{ID: "1"}, {ID: "2"}, {ID: "3"}}}
	q := faulty.NewQueue(1, faulty.Faults{Twice: 1, Shuffle: true}, inner)
	ds, err := q.Receive(t.Context(), 5)
	if err != nil || len(ds) != 5 {
		t.Fatalf("received %d deliveries, %v, want 5 where 3 come twice", len(ds), err)
	}
	if err := q.Ack(t.Context(), ds); err != nil {
		t.Fatalf("ack: %v", err)
	}
	again, err := q.Receive(t.Context(), 2)
	if err != nil || len(again) != 2 {
		t.Errorf("received %d deliveries again, %v, want 2", len(again), err)
	}
}

func TestDawdlingEndsWithTheContext(t *testing.T) {
	s := &store{}
	f := faulty.NewStore(1, faulty.Faults{Slow: 1000 * time.Hour}, s, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Close(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Close returned %v, want its context's error", err)
	}
}

func second[T any](_ T, err error) error { return err }

// store counts what it is asked to do.
type store struct {
	recorded, others int
}

func (s *store) Record(_ context.Context, votes []popeye.Vote, _ ...popeye.Progress) (popeye.Recorded, error) {
	s.recorded += len(votes)
	return popeye.Recorded{}, nil
}

func (s *store) Park(context.Context, []popeye.Parked) (popeye.Recorded, error) {
	s.others++
	return popeye.Recorded{}, nil
}

func (s *store) Certify(context.Context) error { s.others++; return nil }

func (s *store) Catalog(context.Context) (*popeye.Catalog, error) {
	s.others++
	return popeye.NewCatalog(1, nil), nil
}

func (s *store) NameVoterKey(context.Context, string) error { s.others++; return nil }

func (s *store) Close(context.Context, int64) error { s.others++; return nil }

func (s *store) Finalise(context.Context, int64) error { s.others++; return nil }

// queue delivers once and counts acknowledgements.
type queue struct {
	deliveries []popeye.Delivery
	acked      int
}

func (q *queue) Receive(context.Context, int) ([]popeye.Delivery, error) {
	ds := q.deliveries
	q.deliveries = nil
	return ds, nil
}

func (q *queue) Ack(_ context.Context, ds []popeye.Delivery) error {
	q.acked += len(ds)
	return nil
}

func (q *queue) Release(context.Context, []popeye.Delivery, error) error { return nil }

func (q *queue) Publish(context.Context, *popeye.Catalog) error { return nil }
