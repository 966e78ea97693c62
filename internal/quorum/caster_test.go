package quorum

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"popeye"
)

// What all explored casts have in common. Their servers are numbered in the order
// in which the voter's casts visit them.
const theRound = 1

func theVoter() popeye.Voter { return popeye.Voter{7} }

// caster is somebody who casts a vote, as the poll role does it.
type caster struct {
	choices popeye.Choices
	// clock is the time that its stamps are made from.
	clock popeye.Stamp
	// after is the stamp of the vote that the voter saw, zero where it does not say.
	after popeye.Stamp
	// again is how often it tries again what too few servers took.
	again int
	// flaw is what is wrong with the protocol that it follows, nil for nothing.
	flaw *flaw
}

// restamps is how often the poll role stamps a cast again.
const restamps = 4

var errRestamped = errors.New("stamped again too often")

// cast is what the poll role does with a voter's wish.
func (s *story) cast() (popeye.Answer, error) {
	vote := popeye.Vote{Round: theRound, Voter: theVoter(), Choices: s.choices}
	wish := popeye.Cast{Vote: vote, After: s.after}
	for range restamps {
		wish.Stamp = s.stamp(wish.After)
		a, err := s.queue.Enqueue(context.Background(), wish)
		for again := s.again; again > 0 && errors.Is(err, popeye.ErrUnavailable); again-- {
			a, err = s.queue.Enqueue(context.Background(), wish)
		}
		if err != nil || a.Outcome != popeye.Conflict || s.after != 0 {
			return a, err
		}
		wish.After = max(wish.After, a.Mark.Stamp)
	}
	return popeye.Answer{}, errRestamped
}

// stamp makes stamps that no other caster of the exploration makes.
func (s *story) stamp(after popeye.Stamp) popeye.Stamp {
	stamp := max(s.clock, after+1)
	for stamp%mostCasters != popeye.Stamp(s.number) {
		stamp++
	}
	return stamp
}

// call is what a caster asks of a server: to put a cast, or to read the mark.
type call struct {
	server int
	read   bool
	cast   popeye.Cast
}

// reply is what it hears: nothing, an answer, or a mark.
type reply struct {
	silent bool
	answer popeye.Answer
	mark   popeye.Mark
	found  bool
}

// path is all that a caster has heard, in order, and what it does next. Since
// Enqueue depends on nothing else, this is the whole state of a caster.
type path struct {
	heard []reply
	next  call
	// done: it has its answer, or err.
	done   bool
	answer popeye.Answer
	err    error
	on     map[reply]*path
}

// story runs one caster against any replies, step by step.
type story struct {
	caster
	number int
	queue  *Queue
	root   *path

	// heard are the replies of the current run, of which at were given.
	heard []reply
	at    int
}

func tell(number int, setup *setup) *story {
	s := &story{caster: setup.casters[number], number: number}
	s.queue = newQueue(Config{
		Servers: s.places(setup.servers),
		Copies:  setup.copies,
		Rest:    1, // none: whether a server fails again is explored
		Log:     slog.New(slog.DiscardHandler),
		Now:     func() time.Time { return time.UnixMicro(0) },
	})
	poll := popeye.Poll{ID: "p", Policy: setup.policy}
	s.queue.adopt(popeye.NewCatalog(1, []popeye.Definition{{Poll: poll.WithDefaults(), Round: theRound, State: popeye.Open}}))
	s.root = s.follow(nil)
	return s
}

// places names the servers so that the voter's casts visit them as numbered.
func (s *story) places(servers int) []Place {
	var names []Place
	for n := range servers {
		names = append(names, Place{Name: strconv.Itoa(n)})
	}
	blank := newQueue(Config{Servers: names, Log: slog.New(slog.DiscardHandler)})
	visits := blank.order(theVoter())
	var places []Place
	for p := visits.next(); p != nil; p = visits.next() {
		var server Server = &scripted{story: s, number: len(places)}
		if s.flaw != nil {
			server = &flawed{Server: server, caster: s.caster}
		}
		places = append(places, Place{Name: p.name, Server: server})
	}
	return places
}

// hear returns the path behind p once r is heard.
func (s *story) hear(p *path, r reply) *path {
	if next := p.on[r]; next != nil {
		return next
	}
	next := s.follow(append(slices.Clip(p.heard), r))
	p.on[r] = next
	return next
}

// paused ends a run at the first call that nobody has replied to yet.
type paused struct{ call call }

// follow casts anew with these replies, up to the call behind the last of them.
func (s *story) follow(heard []reply) (p *path) {
	p = &path{heard: heard, on: make(map[reply]*path)}
	s.heard, s.at = heard, 0
	defer func() {
		switch stop := recover().(type) {
		case nil:
		case paused:
			p.next = stop.call
		default:
			panic(stop)
		}
	}()
	p.answer, p.err = s.cast()
	p.done = true
	return p
}

func (s *story) ask(c call) reply {
	if s.at == len(s.heard) {
		panic(paused{call: c})
	}
	s.at++
	return s.heard[s.at-1]
}

// scripted is a server that says what the story has it say.
type scripted struct {
	story  *story
	number int
}

// visited is the server's number, unless the caster numbers them from the end.
func (s *scripted) visited() int {
	if s.story.flaw != nil && s.story.flaw.fromTheEnd {
		return len(s.story.queue.places) - 1 - s.number
	}
	return s.number
}

func (s *scripted) Put(_ context.Context, c popeye.Cast, _ time.Duration) (popeye.Answer, error) {
	r := s.story.ask(call{server: s.visited(), cast: c})
	if r.silent {
		return popeye.Answer{}, popeye.ErrUnavailable
	}
	return r.answer, nil
}

func (s *scripted) Mark(context.Context, int64, popeye.Voter) (popeye.Mark, bool, error) {
	r := s.story.ask(call{server: s.visited(), read: true})
	if r.silent {
		return popeye.Mark{}, false, popeye.ErrUnavailable
	}
	return r.mark, r.found, nil
}

func (*scripted) Catalog(context.Context, int64) (*popeye.Catalog, error) { return nil, nil }

func (*scripted) Announce(context.Context, string) error { return nil }
