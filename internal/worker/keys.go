package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"popeye"
)

// nameVoterKey gives the rounds that wait for a voter key the one that was
// announced, if one was, and reports whether it did. What fails is told here, and
// tried again with the next pass: voting in other polls must not wait for it.
func (w *Worker) nameVoterKey(ctx context.Context) bool {
	name := w.announced(ctx)
	if name == "" {
		return false
	}
	if err := w.Register.NameVoterKey(ctx, name); err != nil {
		w.failed(ctx, opVoterKey, "", fmt.Errorf("name the voter key: %w", err))
		return false
	}
	return true
}

// waitsForKey reports whether a round that may take votes has no voter key.
func waitsForKey(c *popeye.Catalog) bool {
	for _, d := range c.All() {
		if d.VoterKey == "" && (d.State == popeye.Open || d.State == popeye.Draft) {
			return true
		}
	}
	return false
}

// announced returns the voter key of the first server to answer with one, empty
// when none does. Servers may differ while keys are rotated, and then each of
// them names one that all replicas have.
func (w *Worker) announced(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	names := make(chan string, len(w.servers))
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	for _, s := range w.servers {
		asked.Go(func() { names <- s.voterKey(ctx) })
	}
	for range w.servers {
		if name := <-names; name != "" {
			return name
		}
	}
	return ""
}

func (s *server) voterKey(ctx context.Context) string {
	if !s.isWatched() {
		return ""
	}
	name, err := s.Watched.VoterKey(ctx)
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) { // another has answered
		s.failed(ctx, opVoterKey, err)
	}
	return name
}
