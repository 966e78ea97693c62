package quorum_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"popeye"
	"popeye/internal/quorum"
)

// mood is how a fake server behaves.
type mood int

const (
	well     mood = iota
	broken        // it fails at once
	hanging       // it says nothing
	mute          // it does what it is asked and says nothing
	deaf          // it takes casts and answers nothing else
	full          // it takes nothing new
	closed        // it says so of every round
	ignorant      // it knows no round
)

// whenRead is how it answers what is no cast.
func (m mood) whenRead() mood {
	switch {
	case m == deaf:
		return broken
	case m > deaf:
		return well
	default:
		return m
	}
}

// fake is a queue server in memory.
type fake struct {
	// lag is how long a cast takes each way, nil for no time. It is taken also
	// where its caster does not wait.
	lag func() time.Duration

	mu      sync.Mutex
	mood    mood
	catalog *popeye.Catalog
	marks   map[popeye.Voter]popeye.Mark
	// stream are the votes to be delivered, puts the casts that were put.
	stream    []popeye.Vote
	puts      []popeye.Cast
	asked     int
	announced []string
	// keysRefused is how many announcements fail.
	keysRefused int
}

func (f *fake) Put(ctx context.Context, c popeye.Cast, within time.Duration) (popeye.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if f.lag == nil {
		a, mood := f.take(c)
		return a, silence(ctx, mood)
	}
	type reply struct {
		answer popeye.Answer
		mood   mood
	}
	came := make(chan reply, 1)
	go func() {
		<-time.After(f.lag())
		a, mood := f.take(c)
		<-time.After(f.lag())
		came <- reply{a, mood}
	}()
	select {
	case r := <-came:
		return r.answer, silence(ctx, r.mood)
	case <-ctx.Done(): // the cast may still be on its way
		return popeye.Answer{}, popeye.ErrUnavailable
	}
}

func (f *fake) take(c popeye.Cast) (popeye.Answer, mood) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts = append(f.puts, c)
	if f.mood != well && f.mood != mute && f.mood != deaf {
		return popeye.Answer{}, f.mood
	}
	return f.decide(c), f.mood
}

func (f *fake) decide(c popeye.Cast) popeye.Answer {
	a := c.Begin()
	m, voted := f.marks[c.Voter]
	if voted {
		a = m.Decide(f.catalog.All()[0].Policy, c)
	}
	if !voted || a.Mark != m {
		f.keep(c.Voter, a.Mark)
	}
	return a
}

func (f *fake) keep(v popeye.Voter, m popeye.Mark) {
	if f.marks == nil {
		f.marks = make(map[popeye.Voter]popeye.Mark)
	}
	f.marks[v] = m
	f.stream = append(f.stream, popeye.Vote{
		Round: round, Voter: v, Choices: m.Choices, Stamp: m.Stamp, Serial: m.Serial, Unconfirmed: m.Unconfirmed,
	})
}

// silence is how a server in this mood answers, which may take until ctx is done.
func silence(ctx context.Context, m mood) error {
	switch m {
	case hanging, mute:
		<-ctx.Done()
		return popeye.ErrUnavailable
	case broken:
		return popeye.ErrUnavailable
	case full:
		return popeye.ErrFull
	case closed:
		return popeye.ErrClosed
	case ignorant:
		return popeye.ErrNotFound
	default:
		return nil
	}
}

func (f *fake) Mark(ctx context.Context, _ int64, v popeye.Voter) (popeye.Mark, bool, error) {
	f.mu.Lock()
	m, ok := f.marks[v]
	mood := f.mood.whenRead()
	f.mu.Unlock()
	return m, ok, silence(ctx, mood)
}

func (f *fake) Catalog(ctx context.Context, known int64) (*popeye.Catalog, error) {
	f.mu.Lock()
	f.asked++
	c, mood := f.catalog, f.mood.whenRead()
	f.mu.Unlock()
	if f.lag != nil {
		<-time.After(f.lag())
	}
	if c == nil || c.Version() <= known {
		c = nil
	}
	return c, silence(ctx, mood)
}

func (f *fake) Announce(ctx context.Context, voterKey string) error {
	f.mu.Lock()
	f.announced = append(f.announced, voterKey)
	mood := f.mood.whenRead()
	if f.keysRefused > 0 {
		f.keysRefused--
		mood = broken
	}
	f.mu.Unlock()
	return silence(ctx, mood)
}

func (f *fake) is(m mood) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mood = m
}

func (f *fake) publish(c *popeye.Catalog) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catalog = c
}

// wipe takes what the server was told of votes; it knows the polls again.
func (f *fake) wipe() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.marks = nil
}

// taken returns the casts put since the last time.
func (f *fake) taken() []popeye.Cast {
	f.mu.Lock()
	defer f.mu.Unlock()
	puts := f.puts
	f.puts = nil
	return puts
}

func (f *fake) mark(v popeye.Voter) popeye.Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.marks[v]
}

func (f *fake) delivered() []popeye.Vote {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.stream)
}

// house is a queue over fakes, in the order in which voter visits them.
type house struct {
	*testing.T
	config  quorum.Config
	queue   *quorum.Queue
	servers []*fake
	version int64
}

const round = 1

// newHouse returns a queue over n servers, which know one poll.
func newHouse(t *testing.T, n int, policy popeye.Policy, change func(*quorum.Config)) *house {
	t.Helper()
	h := &house{T: t}
	c := quorum.Config{Copies: n/2 + 1, Log: slog.New(slog.DiscardHandler)}
	for _, name := range visitingOrder(t, n) {
		h.servers = append(h.servers, &fake{})
		c.Servers = append(c.Servers, quorum.Place{Name: name, Server: h.servers[len(h.servers)-1]})
	}
	if change != nil {
		change(&c)
	}
	h.config, h.queue = c, quorum.New(c)
	h.publish(definition(policy, popeye.Open))
	return h
}

// visitingOrder returns the names of n places in the order in which the casts of
// voter 1 visit them.
func visitingOrder(t *testing.T, n int) []string {
	t.Helper()
	var names []string
	c := quorum.Config{Copies: n, Log: slog.New(slog.DiscardHandler)}
	for i := range n {
		s := &signpost{name: string(rune('a' + i)), visited: &names}
		s.publish(popeye.NewCatalog(1, []popeye.Definition{definition(popeye.First, popeye.Open)}))
		c.Servers = append(c.Servers, quorum.Place{Name: s.name, Server: s})
	}
	if _, err := quorum.New(c).Enqueue(t.Context(), cast(1, 1)); err != nil || len(names) != n {
		t.Fatalf("visited were %v, %v", names, err)
	}
	return names
}

// signpost is a server that notes who was visited.
type signpost struct {
	fake
	name    string
	visited *[]string
}

func (s *signpost) Put(ctx context.Context, c popeye.Cast, within time.Duration) (popeye.Answer, error) {
	*s.visited = append(*s.visited, s.name)
	return s.fake.Put(ctx, c, within)
}

func (h *house) publish(definitions ...popeye.Definition) {
	h.version++
	for _, s := range h.servers {
		s.publish(popeye.NewCatalog(h.version, definitions))
	}
}

func definition(policy popeye.Policy, state popeye.State) popeye.Definition {
	p := popeye.Poll{ID: "p", Question: "?", Policy: policy, Options: []popeye.Option{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	return popeye.Definition{Poll: p.WithDefaults(), Round: round, State: state, VoterKey: "k", Version: 1}
}

func voter(n uint64) popeye.Voter {
	var v popeye.Voter
	binary.BigEndian.PutUint64(v[:], n*0x9e3779b97f4a7c15)
	return v
}

// cast is one of the voter whose order the servers are in.
func cast(c popeye.Choices, s popeye.Stamp) popeye.Cast { return castOf(1, c, s) }

func castOf(n uint64, c popeye.Choices, s popeye.Stamp) popeye.Cast {
	return popeye.Cast{Vote: popeye.Vote{Round: round, Voter: voter(n), Choices: c, Stamp: s}}
}

func after(c popeye.Cast, s popeye.Stamp) popeye.Cast {
	c.After = s
	return c
}

// wantCast casts and compares outcome and standing vote.
func (h *house) wantCast(c popeye.Cast, want popeye.Outcome, choices popeye.Choices, stamp popeye.Stamp) {
	h.Helper()
	a, err := h.queue.Enqueue(h.Context(), c)
	if err != nil {
		h.Fatalf("enqueue: %v", err)
	}
	if a.Outcome != want || a.Mark.Choices != choices || a.Mark.Stamp != stamp {
		h.Fatalf("the cast got %q with %+v standing, want %q with %b@%d", a.Outcome, a.Mark, want, choices, stamp)
	}
}
