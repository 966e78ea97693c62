package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"popeye"
)

// Status tells how the server is. Pending is exact when it is zero, and else
// about right, as far as the votes that wait are as many to an entry as the first
// of them. Oldest is by the clock of the caller, whatever the server's says.
func (s *Server) Status(ctx context.Context) (popeye.QueueStatus, error) {
	parts, err := s.run(ctx, s.scripts.status, oneSlot(), []string{newIdentity()}).ToArray()
	if err != nil {
		return popeye.QueueStatus{}, s.failed("ask how it is", err)
	}
	status, err := readStatus(parts)
	if err != nil {
		return popeye.QueueStatus{}, fmt.Errorf("%w: how the queue server %s is: %w", popeye.ErrUnavailable, s.cfg.Place, err)
	}
	status.Place = s.cfg.Place
	return status, nil
}

// readStatus reads what the script returns.
func readStatus(parts []rueidis.RedisMessage) (status popeye.QueueStatus, err error) {
	if len(parts) != 8 {
		return status, errMalformed
	}
	r := reader{parts: parts}
	status.Server, status.Recorded = r.text(0), r.text(1)
	if entries := r.number(2); entries > 0 {
		status.Pending = max(r.number(3), entries)
		status.Oldest = time.Now().Add(-time.Duration(max(r.number(4), 0)) * time.Millisecond)
	}
	status.Accepted = make(map[int64]int64)
	for round, n := range r.counts(5) {
		number, err := strconv.ParseInt(round, 10, 64)
		r.note(err)
		status.Accepted[number] = n
	}
	status.Progress = r.counts(6)
	status.Catalog = r.number(7)
	return status, r.err
}

// reader reads the parts of a reply, up to the first error.
type reader struct {
	parts []rueidis.RedisMessage
	err   error
}

func (r *reader) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) text(i int) string {
	s, err := r.parts[i].ToString()
	r.note(err)
	return s
}

func (r *reader) number(i int) int64 {
	n, err := r.parts[i].AsInt64()
	r.note(err)
	return n
}

// counts reads a list in which names and numbers take turns.
func (r *reader) counts(i int) map[string]int64 {
	list, err := r.parts[i].AsStrSlice()
	r.note(err)
	counts := make(map[string]int64, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		n, err := strconv.ParseInt(list[i+1], 10, 64)
		r.note(err)
		counts[list[i]] = n
	}
	return counts
}
