package redis

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"
)

// lookForRoomEvery is how long what is known of a server's memory is believed.
const lookForRoomEvery = 250 * time.Millisecond

// room says whether a server takes new votes: while no more than a share of its
// memory is in use. It looks while votes are cast, a few times a second.
type room struct {
	share float64
	began time.Time
	ask   func(ctx context.Context) (memory, error)

	full atomic.Bool
	// next is when to look again, as a time since began.
	next atomic.Int64
}

// memory is how much of a server's memory is in use, in bytes. Limit is zero
// where it is not known.
type memory struct {
	used, limit int64
}

// part returns which part of the limit is in use.
func (m memory) part() float64 {
	if m.limit <= 0 {
		return 0
	}
	return float64(m.used) / float64(m.limit)
}

// isThere reports whether there is room. When it is time to look again, one of
// those who ask does; where that fails, what was known is believed on.
func (r *room) isThere(ctx context.Context) bool {
	now, next := int64(time.Since(r.began)), r.next.Load()
	if now >= next && r.next.CompareAndSwap(next, now+int64(lookForRoomEvery)) {
		if m, err := r.ask(ctx); err == nil {
			r.full.Store(m.part() > r.share)
		}
	}
	return !r.full.Load()
}

// memory asks the server.
func (s *Server) memory(ctx context.Context) (memory, error) {
	info, err := s.client.Do(ctx, s.client.B().Info().Section("memory").Build()).ToString()
	if err != nil {
		return memory{}, s.failed("ask how much memory is in use", err)
	}
	m := memory{used: numberIn(info, "used_memory"), limit: numberIn(info, "maxmemory")}
	if m.limit == 0 {
		m.limit = numberIn(info, "total_system_memory")
	}
	return m, nil
}

// numberIn returns a number that INFO says, zero when it does not.
func numberIn(info, name string) int64 {
	n, err := strconv.ParseInt(fieldOf(info, name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
