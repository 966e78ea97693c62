package redis_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"popeye"
	"popeye/internal/redis"
)

// Whatever workers do, and whenever they die: every vote taken is recorded, and
// all of them before the seal of their round is delivered. Leases are so short
// that everything which one worker holds is always there for the others too.
func TestEveryVoteIsRecordedBeforeTheSealWhateverWorkersDo(t *testing.T) {
	t.Parallel()
	_, s := start(t, redis.Config{Lease: time.Millisecond, Retention: 1})
	number := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		number++
		w := newWorld(t, s, number)
		publish(t, s, 2*number, w.round)
		rt.Repeat(map[string]func(*rapid.T){
			"put":     w.put,
			"receive": w.receive,
			"ack":     w.ack,
			"release": w.release,
			"die":     w.die,
			"leave":   w.leave,
			"tend":    func(*rapid.T) { tend(t, s) },
		})
		publish(t, s, 2*number+1, in(popeye.Closed, w.round))
		w.end(rt)
	})
}

// world is what is true of one round.
type world struct {
	t        *testing.T
	server   *redis.Server
	round    popeye.Definition
	voters   int
	recorded map[popeye.Voter]bool
	workers  [2]*holder
}

// holder is a worker and what it holds.
type holder struct {
	*redis.Consumer
	hands []popeye.Delivery
}

func newWorld(t *testing.T, s *redis.Server, number int64) *world {
	t.Helper()
	w := &world{t: t, server: s, round: round("p", number, popeye.First), recorded: make(map[popeye.Voter]bool)}
	for i := range w.workers {
		w.workers[i] = w.hire()
	}
	return w
}

func (w *world) hire() *holder { return &holder{Consumer: w.server.Consumer(strconv.Itoa(w.voters))} }

// put casts a few votes at once, so that some share an entry.
func (w *world) put(rt *rapid.T) {
	var casting sync.WaitGroup
	for range rapid.IntRange(1, 6).Draw(rt, "votes") {
		w.voters++
		c := cast(w.voters, 1, 100)
		c.Round = w.round.Round
		casting.Go(func() {
			if a, err := w.server.Put(limited(w.t), c, patience); err != nil || a.Outcome != popeye.Accepted {
				w.t.Errorf("the cast got %q, %v", a.Outcome, err)
			}
		})
	}
	casting.Wait()
}

func (w *world) draw(rt *rapid.T) *holder {
	return w.workers[rapid.IntRange(0, len(w.workers)-1).Draw(rt, "worker")]
}

// receive takes more when there is more than the worker has.
func (w *world) receive(rt *rapid.T) {
	h := w.draw(rt)
	if len(w.recorded)+len(h.hands) >= w.voters {
		return
	}
	h.hands = append(h.hands, receive(w.t, h.Consumer, rapid.IntRange(1, 8).Draw(rt, "most"))...)
}

// part removes and returns some of what a worker holds.
func (h *holder) part(rt *rapid.T) []popeye.Delivery {
	n := rapid.IntRange(0, len(h.hands)).Draw(rt, "deliveries")
	some := h.hands[:n:n]
	h.hands = h.hands[n:]
	return some
}

func (w *world) ack(rt *rapid.T) {
	h := w.draw(rt)
	some := h.part(rt)
	for _, d := range some {
		if d.Vote.Round == w.round.Round {
			w.recorded[d.Vote.Voter] = true
		}
	}
	ack(w.t, h.Consumer, some...)
}

func (w *world) release(rt *rapid.T) {
	h := w.draw(rt)
	if err := h.Release(limited(w.t), h.part(rt), errStoreAway); err != nil {
		rt.Fatalf("release: %v", err)
	}
}

func (w *world) die(rt *rapid.T) { w.replace(w.draw(rt)) }

func (w *world) leave(rt *rapid.T) {
	h := w.draw(rt)
	if err := h.Shutdown(limited(w.t)); err != nil {
		rt.Fatalf("shutdown: %v", err)
	}
	w.replace(h)
}

func (w *world) replace(h *holder) { w.workers[slices.Index(w.workers[:], h)] = w.hire() }

// end has one worker record all that is left, up to the seal.
func (w *world) end(rt *rapid.T) {
	last := w.hire()
	for {
		ds := receive(w.t, last.Consumer, 100)
		for _, d := range ds {
			if d.Seal == w.round.Round && len(w.recorded) != w.voters {
				rt.Fatalf("the seal came with %d of %d votes recorded", len(w.recorded), w.voters)
			}
			if d.Vote.Round == w.round.Round {
				w.recorded[d.Vote.Voter] = true
			}
		}
		ack(w.t, last.Consumer, ds...)
		if slices.ContainsFunc(ds, func(d popeye.Delivery) bool { return d.Seal == w.round.Round }) {
			break
		}
	}
	if st := status(w.t, w.server); st.Pending != 0 {
		rt.Fatalf("behind the seal %d deliveries are pending", st.Pending)
	}
}
