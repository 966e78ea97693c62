package redis

import (
	"context"
	"strconv"
	"time"
)

const (
	// Tend frees so much in one call of the server, which answers nobody else
	// meanwhile, and calls it so often at most.
	trimmedAtATime = 1000
	freedAtATime   = 200
	stepsAtATime   = 50
	// goneAfter is after how many leases without a word a consumer is taken for
	// dead.
	goneAfter = 60
)

// Tend frees what nobody needs any more: acknowledged votes that are older than
// the retention, sooner where memory is short; marks of rounds that ended long
// ago; consumers that have died. It does so in steps that hold up nobody, and not
// all at once.
func (s *Server) Tend(ctx context.Context) error {
	m, err := s.memory(ctx)
	if err != nil {
		return err
	}
	retention := retentionAt(m.part()/s.cfg.Share, s.cfg.Retention)
	err = s.steps("trim the stream", func() (int64, error) {
		args := []string{inMilliseconds(retention), strconv.Itoa(trimmedAtATime)}
		return s.run(ctx, s.scripts.trim, oneSlot(), args).AsInt64()
	})
	if err != nil {
		return err
	}
	err = s.steps("free marks", func() (int64, error) {
		args := []string{strconv.FormatInt(s.cfg.Memory.Microseconds(), 10), strconv.Itoa(freedAtATime)}
		return s.run(ctx, s.scripts.free, oneSlot(), args).AsInt64()
	})
	if err != nil {
		return err
	}
	args := []string{inMilliseconds(goneAfter * s.cfg.Lease), strconv.FormatInt(s.cfg.Memory.Microseconds(), 10)}
	if err := s.run(ctx, s.scripts.sweep, oneSlot(), args).Error(); err != nil {
		return s.failed("delete dead consumers", err)
	}
	return nil
}

// steps repeats a step until it has nothing more to do, or often enough.
func (s *Server) steps(doing string, step func() (int64, error)) error {
	for range stepsAtATime {
		n, err := step()
		if err != nil {
			return s.failed(doing, err)
		}
		if n == 0 {
			break
		}
	}
	return nil
}

// retentionAt is for how long acknowledged votes are kept when such a part of the
// room is in use: up to half of it in full, and from there on for less and less.
func retentionAt(part float64, full time.Duration) time.Duration {
	left := min(max(2*(1-part), 0), 1)
	return time.Duration(left * float64(full))
}

func inMilliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
