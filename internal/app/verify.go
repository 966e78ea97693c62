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
)

// maxMissing bounds how many votes are looked for a second time.
const maxMissing = 1_000_000

var errNotRight = errors.New("what is stored is not what was cast")

// verify is "popeye verify".
func verify(ctx context.Context, p Process, cfg config.Verify) error {
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
	if err := store.Ready(ctx); err != nil {
		return err
	}
	faults, err := recount(ctx, p, store)
	if err != nil {
		return err
	}
	for _, server := range servers {
		missing, err := lookFor(ctx, p, &search{store: store, patience: cfg.Wait}, server)
		if err != nil {
			return fmt.Errorf("verify %s: %w", server.Place(), err)
		}
		faults += missing
	}
	if faults > 0 {
		return errNotRight
	}
	return nil
}

// recount compares the votes with tallies and ledger. It returns how many counts
// are wrong.
func recount(ctx context.Context, p Process, store *postgres.Store) (int, error) {
	var done, total atomic.Int64
	bar := progress.Show(p.Stderr, func() (float64, string) {
		return float64(done.Load()) / float64(max(total.Load(), 1)), fmt.Sprintf("%d of %d votes counted", done.Load(), total.Load())
	})
	report, err := store.Verify(ctx, func(d, t int64) {
		done.Store(d)
		total.Store(t)
	})
	bar.End()
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(p.Stdout, "counted %d votes in %d rounds\n", report.Votes, report.Rounds)
	for _, f := range report.Faults {
		fmt.Fprintf(p.Stdout, "WRONG  poll %s, round %d: %s: %d noted, %d found\n", f.Poll, f.Round, f.What, f.Counted, f.Found)
	}
	return len(report.Faults), nil
}

// lookFor looks for every vote that a queue server keeps. It returns how many are
// not in the store.
func lookFor(ctx context.Context, p Process, s *search, server *redis.Server) (int, error) {
	bar := progress.Show(p.Stderr, func() (float64, string) { return 1, s.String() })
	err := server.Scan(ctx, func(deliveries []popeye.Delivery) error { return s.look(ctx, deliveries) })
	if err == nil {
		err = s.settle(ctx)
	}
	bar.End()
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(p.Stdout, "found %d votes on %s\n", s.votes.Load(), server.Place())
	if n := len(s.missing); n > 0 {
		fmt.Fprintf(p.Stdout, "WRONG  %d of them are neither recorded, nor replaced by another vote of their voter, nor parked: rounds %v\n", n, s.rounds())
	}
	return len(s.missing), nil
}

// search looks in the store for votes that a queue server keeps.
type search struct {
	store *postgres.Store
	// patience is how long a vote may be on its way there.
	patience time.Duration

	votes atomic.Int64
	// missing are those that were not found so far.
	missing []popeye.Vote
}

// String says how many votes were looked for.
func (s *search) String() string { return fmt.Sprintf("%d votes looked for", s.votes.Load()) }

func (s *search) look(ctx context.Context, deliveries []popeye.Delivery) error {
	votes := make([]popeye.Vote, len(deliveries))
	for i, d := range deliveries {
		votes[i] = d.Vote
	}
	missing, err := s.store.Missing(ctx, votes)
	if err != nil {
		return err
	}
	s.votes.Add(int64(len(votes)))
	if s.missing = append(s.missing, missing...); len(s.missing) > maxMissing {
		return fmt.Errorf("more than %d votes are missing", maxMissing)
	}
	return nil
}

// settle looks again for what was missing, which may have been on its way.
func (s *search) settle(ctx context.Context) error {
	deadline := time.Now().Add(s.patience)
	for len(s.missing) > 0 && time.Now().Before(deadline) {
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		var err error
		if s.missing, err = s.store.Missing(ctx, s.missing); err != nil {
			return err
		}
	}
	return nil
}

// rounds returns the rounds of the missing votes.
func (s *search) rounds() []int64 {
	var rounds []int64
	for _, v := range s.missing {
		rounds = append(rounds, v.Round)
	}
	slices.Sort(rounds)
	return slices.Compact(rounds)
}
