package quorum_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"popeye"
	"popeye/internal/quorum"
)

// Under policy first, a voter's vote is a register that can be written once, and
// a cast writes it if nobody has, and reads it.

// wish is what is asked of a register: to write choices, or with none, to read.
type wish struct {
	voter   uint64
	choices popeye.Choices
}

// fate is what came of it; unknown says nothing.
type fate struct {
	standing popeye.Choices
	unknown  bool
}

func registers() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byVoter := make(map[uint64][]porcupine.Operation)
			for _, o := range history {
				v := o.Input.(wish).voter //nolint:errcheck // it is
				byVoter[v] = append(byVoter[v], o)
			}
			var parts [][]porcupine.Operation
			for _, part := range byVoter {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return popeye.Choices(0) },
		Step: func(state, input, output any) (bool, any) {
			standing, _ := state.(popeye.Choices)
			w, _ := input.(wish)
			f, _ := output.(fate)
			if standing == 0 {
				standing = w.choices
			}
			return f.unknown || f.standing == standing, standing
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
}

// history is what casters did and heard, in the order of a clock of its own.
type history struct {
	clock atomic.Int64
	mu    sync.Mutex
	all   []porcupine.Operation
}

func (h *history) note(who int, w wish, do func() fate) fate {
	called := h.clock.Add(1)
	f := do()
	o := porcupine.Operation{ClientId: who, Input: w, Call: called, Output: f, Return: h.clock.Add(1)}
	if f.unknown {
		o.Return = math.MaxInt64 // it may take effect at any time, or never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, o)
	return f
}

// races are casts of several voters, each from several tabs that want different
// things, through one of several queues over the same servers.
type races struct {
	*testing.T
	queues []*quorum.Queue
	voters uint64
	tabs   int
	// refusable: there are not servers enough for everybody to be answered.
	refusable bool
	// pace is the time from one voter to the next.
	pace time.Duration
	history
}

// run lets all casters cast, the tabs of a voter at about the same time, and try
// again after a while when they are not answered, a few times.
func (r *races) run(ctx context.Context, random *dice) {
	var all sync.WaitGroup
	for v := range r.voters {
		for tab := range r.tabs {
			all.Go(func() {
				who := int(v)*r.tabs + tab
				<-time.After(time.Duration(v) * r.pace)
				for range 3 {
					<-time.After(random.time(8 * r.pace))
					if f := r.cast(ctx, who, wish{v, 1 << tab}); !f.unknown {
						return
					}
				}
			})
		}
	}
	all.Wait()
}

func (r *races) cast(ctx context.Context, who int, w wish) fate {
	return r.note(who, w, func() fate {
		c := castOf(w.voter, w.choices, popeye.NewStamp(time.Now(), 0, w.choices))
		a, err := r.queues[who%len(r.queues)].Enqueue(ctx, c)
		if err == nil && a.Outcome.Stands() != (a.Mark.Choices == w.choices) {
			r.Errorf("the cast got %q with %+v standing", a.Outcome, a.Mark)
		}
		return fate{a.Mark.Choices, err != nil}
	})
}

// check wants that all that was said is what registers would say, that everybody
// is answered now that all is well, and that the store ends with what was said.
func (r *races) check(ctx context.Context, delivered []popeye.Vote) {
	r.Helper()
	stored := store(slices.Values(delivered))
	for v := range r.voters {
		r.note(-1, wish{voter: v}, func() fate { return fate{standing: stored[voter(v)].Choices} })
		r.note(-1, wish{voter: v}, func() fate {
			m, _, err := r.queues[0].Mark(ctx, round, voter(v))
			return fate{m.Choices, err != nil}
		})
		if f := r.cast(ctx, 0, wish{v, 1 << 60}); f.unknown {
			r.Errorf("with all servers well, a voter is refused")
		}
	}
	answered := 0
	for _, o := range r.all {
		if f, _ := o.Output.(fate); !f.unknown {
			answered++
		}
	}
	if answered < len(r.all) && !r.refusable {
		r.Errorf("%d of %d operations were refused, though only one server failed", len(r.all)-answered, len(r.all))
	}
	r.Logf("%d operations, %d answered", len(r.all), answered)
	if porcupine.CheckOperations(registers(), r.all) {
		return
	}
	for _, o := range r.all {
		r.Logf("%+v", o)
	}
	r.Error("what was said is not what registers would say")
}

func TestRacingCastsActLikeARegisterThatIsWrittenOnce(t *testing.T) {
	for _, size := range []struct{ servers, copies int }{{1, 1}, {3, 2}, {5, 3}} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("%d of %d servers, seed %d", size.copies, size.servers, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { raceOnFakes(t, size.servers, size.copies, seed) })
			})
		}
	}
}

func raceOnFakes(t *testing.T, servers, copies int, seed uint64) {
	t.Helper()
	random := newDice(seed)
	configure := func(c *quorum.Config) {
		c.Copies, c.Timeout, c.Rest = copies, 5*time.Millisecond, 4*time.Millisecond
	}
	h := newHouse(t, servers, popeye.First, configure)
	for _, s := range h.servers {
		s.lag = func() time.Duration { return random.time(2500 * time.Microsecond) }
	}
	r := &races{T: t, queues: []*quorum.Queue{h.queue, h.twin(configure)}, voters: 30, tabs: 3, refusable: servers == 1, pace: 2 * time.Millisecond}
	stop := h.disturb(random)
	r.run(t.Context(), random)
	stop()
	var all []popeye.Vote
	for _, s := range h.servers {
		all = append(all, s.delivered()...)
	}
	random.shuffle(all)
	r.check(t.Context(), append(all, all...))
}

// twin is another process's queue over the same servers.
func (h *house) twin(change func(*quorum.Config)) *quorum.Queue {
	c := h.config
	change(&c)
	return quorum.New(c)
}

// disturb makes one server fail in all ways until it is stopped; then all is well.
func (h *house) disturb(random *dice) (stop func()) {
	culprit := h.servers[random.below(len(h.servers))]
	ctx, cancel := context.WithCancel(h.Context())
	var over sync.WaitGroup
	over.Go(func() {
		for ctx.Err() == nil {
			culprit.is([]mood{well, well, broken, hanging, mute, full}[random.below(6)])
			if len(h.servers) > 1 && random.below(5) == 0 {
				culprit.wipe()
			}
			<-time.After(random.time(8 * time.Millisecond))
		}
		culprit.is(well)
	})
	return func() {
		cancel()
		over.Wait()
		<-time.After(time.Second) // until no server is left alone, and nothing is on its way
	}
}

// dice are random numbers from a seed, for several goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, 3))} }

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) time(most time.Duration) time.Duration { return time.Duration(d.below(int(most))) }

func (d *dice) shuffle(votes []popeye.Vote) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.r.Shuffle(len(votes), func(i, j int) { votes[i], votes[j] = votes[j], votes[i] })
}
