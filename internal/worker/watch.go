package worker

import (
	"context"
	"maps"
	"time"

	"popeye"
)

const (
	// While something moves, a server is looked at every lookEvery, otherwise
	// every lookAtLeast.
	lookEvery   = 250 * time.Millisecond
	lookAtLeast = 5 * time.Second

	tendEvery  = time.Second
	tendWithin = 5 * time.Second
)

// watch keeps the store informed of how the server is, and the server's votes in
// the store, until ctx is done.
func (s *server) watch(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := s.lookOnce(ctx)
		if err != nil {
			wait(ctx, retry.after(err))
			continue
		}
		retry.after(nil)
		waitOr(ctx, s.look, lookAtLeast)
		wait(ctx, lookEvery-time.Since(began))
	}
}

// lookOnce looks how the server is and tells the store if that is new. It
// returns the last failure, which has been told.
func (s *server) lookOnce(ctx context.Context) error {
	status, err := s.status(ctx)
	if err != nil {
		return err
	}
	if time.Since(s.notedAt) < lookAtLeast && sameStatus(&status, &s.noted) {
		return nil
	}
	from, err := s.note(ctx, status)
	if err != nil {
		return err
	}
	if from != "" {
		return s.heal(ctx, status, from)
	}
	s.noted, s.notedAt = status, time.Now()
	return nil
}

// note tells the store how the server is, unless the store lacks something: then
// it returns the position from which to replay.
func (s *server) note(ctx context.Context, status popeye.QueueStatus) (from string, err error) {
	within, cancel := context.WithTimeout(ctx, Grace)
	defer cancel()
	from, err = s.worker.Logbook.Lost(within, status)
	if err != nil {
		return "", s.told(ctx, opLost, err)
	}
	if from != "" {
		return from, nil
	}
	if err := s.worker.Logbook.Note(within, status); err != nil {
		return "", s.told(ctx, opNote, err)
	}
	return "", nil
}

// status asks the server how it is and shows that.
func (s *server) status(ctx context.Context) (popeye.QueueStatus, error) {
	within, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	status, err := s.Watched.Status(within)
	s.worker.metrics.look(s.Place, &status, err)
	if err != nil {
		return status, s.told(ctx, opStatus, err)
	}
	s.lastIdentity.Store(&status.Server)
	return status, nil
}

// tend has the server free what nobody needs any more. While its votes are
// replayed, they are needed.
func (s *server) tend(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		err := s.tendOnce(ctx)
		wait(ctx, max(retry.after(err), tendEvery))
	}
}

func (s *server) tendOnce(ctx context.Context) error {
	if s.healing.Load() {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, tendWithin)
	defer cancel()
	if err := s.Watched.Tend(within); err != nil {
		return s.told(ctx, opTend, err)
	}
	return nil
}

// told tells of err, unless it is only that ctx is done, and returns it.
func (s *server) told(ctx context.Context, op string, err error) error {
	if ctx.Err() == nil {
		s.failed(ctx, op, err)
	}
	return err
}

func sameStatus(a, b *popeye.QueueStatus) bool {
	return a.Place == b.Place && a.Server == b.Server && a.Recorded == b.Recorded &&
		a.Catalog == b.Catalog && a.Pending == b.Pending && a.Oldest.Equal(b.Oldest) &&
		maps.Equal(a.Accepted, b.Accepted) && maps.Equal(a.Progress, b.Progress)
}
