package app

import (
	"context"
	"slices"
	"strings"
	"time"
)

const (
	// watchEvery is the time between two looks at the checks.
	watchEvery = time.Second
	// sayAgainAfter is when a reason that has changed in its words only is told
	// again: some hold numbers that never are the same.
	sayAgainAfter = 30 * time.Second
)

// watch tells in the log what the service waits for, once each time that this
// changes, and when it waits no more, until ctx is done. It returns nil.
func (s *service) watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var said account
	for {
		select {
		case <-ticker.C: // at first too: nobody is ready at once
		case <-ctx.Done():
			return nil
		}
		if now := s.account(); now.isNews(said) {
			s.tell(ctx, now)
			said = now
		}
	}
}

// account is what a service lacks at one moment.
type account struct {
	at      time.Time
	missing []string // the names of the checks that fail
	reasons []string
}

func (s *service) account() account {
	a := account{at: time.Now()}
	for _, c := range s.checks {
		if err := c.Ready(); err != nil {
			a.missing = append(a.missing, c.Name)
			a.reasons = append(a.reasons, c.Name+": "+err.Error())
		}
	}
	return a
}

// isNews reports whether a is worth a line in the log after said.
func (a account) isNews(said account) bool {
	if said.at.IsZero() || !slices.Equal(a.missing, said.missing) {
		return true
	}
	return !slices.Equal(a.reasons, said.reasons) && a.at.Sub(said.at) >= sayAgainAfter
}

func (s *service) tell(ctx context.Context, a account) {
	if len(a.missing) == 0 {
		s.log.InfoContext(ctx, "ready")
		return
	}
	s.log.WarnContext(ctx, "waiting", "for", strings.Join(a.reasons, "; "))
}
