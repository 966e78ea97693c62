package worker

import (
	"context"
	"fmt"
	"slices"

	"popeye"
)

// heal brings back into the store what it has lost: votes that it had committed
// and that were acknowledged for it, as after a failover to a copy that lagged,
// or a restored backup. The server keeps acknowledged votes for a while, and
// recording one twice changes nothing. Definitions that the store has lost nobody
// has: the server is given those that there are. Votes that come meanwhile are
// moved as ever. It returns the last failure, which has been told: then all is to
// be done again.
func (s *server) heal(ctx context.Context, status popeye.QueueStatus, from string) error {
	s.healing.Store(true)
	defer s.healing.Store(false)
	s.worker.metrics.replays.WithLabelValues(s.Place).Inc()
	s.worker.Log.ErrorContext(ctx, "the store has lost what it had committed: votes are replayed from the queue, changes of polls have to be made again",
		"place", s.Place, "from", from)
	replayed := 0
	err := s.Watched.Replay(ctx, from, func(ctx context.Context, votes []popeye.Vote) error {
		replayed += len(votes)
		return s.recordAgain(ctx, votes)
	})
	if err != nil {
		return s.told(ctx, opReplay, err)
	}
	within, cancel := context.WithTimeout(ctx, Grace)
	defer cancel()
	if err := s.worker.Logbook.Restored(within, status); err != nil {
		return s.told(ctx, opReplay, fmt.Errorf("note that the store is whole again: %w", err))
	}
	s.worker.Log.WarnContext(ctx, "the store is whole again", "place", s.Place, "votes", replayed)
	s.look.give()
	s.worker.pass.give() // polls may have been lost too
	return nil
}

// recordAgain records votes that were recorded before, and parks those that
// cannot be.
func (s *server) recordAgain(ctx context.Context, votes []popeye.Vote) error {
	for some := range slices.Chunk(votes, s.worker.Batch) {
		deliveries := make([]popeye.Delivery, len(some))
		for i, v := range some {
			deliveries[i].Vote = v
		}
		if err := s.recordOne(ctx, newBatch(deliveries)); err != nil {
			return err
		}
		s.worker.metrics.replayed.WithLabelValues(s.Place).Add(float64(len(some)))
	}
	return nil
}

func (s *server) recordOne(ctx context.Context, b *batch) error {
	ctx, cancel := context.WithTimeout(ctx, Grace)
	defer cancel()
	for len(b.parts) > 0 {
		if _, err := s.worker.recordNext(ctx, s.Place, b); err != nil {
			return err
		}
	}
	return nil
}
