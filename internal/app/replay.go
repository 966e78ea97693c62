package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"popeye"
	"popeye/internal/config"
	"popeye/internal/postgres"
	"popeye/internal/progress"
	"popeye/internal/redis"
	"popeye/internal/telemetry"
	"popeye/internal/worker"
)

// reasonReplayed stands with a vote that is parked by a replay. It holds no
// choice.
const reasonReplayed = "replayed: no such round, or an option that its poll does not have"

// replay is "popeye replay".
func replay(ctx context.Context, p Process, cfg config.Replay) error {
	store, err := openStore(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer store.Shutdown()
	servers, err := openServers(cfg.QueueAccess, redis.Config{})
	if err != nil {
		return err
	}
	defer shutDown(servers)
	bell := postgres.NewBell(store, telemetry.NewLogger(p.Stderr, "text", "warn"))
	defer bell.Shutdown()
	if err := store.Ready(ctx); err != nil {
		return err
	}
	now := time.Now()
	var failed error
	for _, server := range servers {
		r := &replayer{store: store, bell: bell, span: newSpan(now.Add(-cfg.Since), now)}
		bar := progress.Show(p.Stderr, func() (float64, string) { return r.span.share(), r.String() })
		err := server.Replay(ctx, server.Position(now.Add(-cfg.Since)), r.record)
		bar.End()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("replay %s: %w", server.Place(), err))
		}
		fmt.Fprintf(p.Stdout, "%s: %s\n", server.Place(), r)
	}
	return failed
}

// replayer records once more what one queue server still keeps.
type replayer struct {
	store *postgres.Store
	bell  *postgres.Bell
	span  *span

	votes, stored, parked atomic.Int64
}

// String says what was done so far.
func (r *replayer) String() string {
	return fmt.Sprintf("%d votes, of which %d were missing and %d are parked", r.votes.Load(), r.stored.Load(), r.parked.Load())
}

// record records votes that were acknowledged before.
func (r *replayer) record(ctx context.Context, votes []popeye.Vote) error {
	for some := range slices.Chunk(votes, worker.DefaultBatch) {
		if err := r.recordSome(ctx, some); err != nil {
			return err
		}
		r.votes.Add(int64(len(some)))
		r.span.reach(some[len(some)-1].Stamp)
	}
	return nil
}

// recordSome records votes, and parks those that can never be recorded, which
// halving finds.
func (r *replayer) recordSome(ctx context.Context, votes []popeye.Vote) error {
	recorded, err := r.store.Record(ctx, votes, popeye.Progress{})
	switch {
	case errors.Is(err, popeye.ErrUnrecordable) && len(votes) == 1:
		r.parked.Add(1)
		recorded, err = r.store.Park(ctx, []popeye.Parked{{Vote: votes[0], Reason: reasonReplayed}})
	case errors.Is(err, popeye.ErrUnrecordable):
		half := len(votes) / 2
		if err := r.recordSome(ctx, votes[:half]); err != nil {
			return err
		}
		return r.recordSome(ctx, votes[half:])
	}
	if err != nil || len(recorded.Moved) == 0 {
		return err
	}
	r.stored.Add(recorded.Stored)
	return r.bell.Ring(ctx, recorded.Moved...)
}

// span is a time in which votes were cast, and how far one has come in it.
type span struct {
	from, to popeye.Stamp
	at       atomic.Int64
}

// newSpan returns the time from a moment until now.
func newSpan(from, now time.Time) *span {
	return &span{from: popeye.Stamp(from.UnixMicro()), to: popeye.Stamp(now.UnixMicro())}
}

func (s *span) reach(at popeye.Stamp) { s.at.Store(int64(at)) }

// share returns how far one has come, from 0 to 1.
func (s *span) share() float64 {
	return float64(popeye.Stamp(s.at.Load())-s.from) / float64(max(s.to-s.from, 1))
}
