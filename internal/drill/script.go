package drill

import (
	"math/rand/v2"

	"popeye"
)

// The polls that are voted in, by index.
const (
	firstPoll = iota
	changePoll
	pollCount
)

// Of a hundred votes so many are changes of an earlier one, and so many of the
// others go to the poll in which a vote may be changed. Of a hundred voters in
// the other one so many vote in two tabs at the same time.
const (
	changes     = 15
	changeables = 30
	rivals      = 4
)

// memory is among how many of the last voters one is sought who changes a vote.
const memory = 1000

// options is how many options a poll has.
const options = 5

// noRival says that a voter has one tab.
const noRival = -1

// cast is one vote to be cast.
type cast struct {
	// poll is the poll's index, voter the voter's number in it, choice the
	// option's position.
	poll, voter, choice int
	// rival is the option that the voter casts in a second tab meanwhile, or
	// noRival.
	rival int
	// person is who may change the vote, nil where nobody may.
	person *person
	// before is closed when the voter's vote before is settled, nil where there is
	// none; over has to be closed when this one is.
	before <-chan struct{}
	over   chan struct{}
}

// person is a voter who may change the vote.
type person struct {
	voter, choice int
	// last is closed when the newest of the person's casts is settled.
	last chan struct{}
	// seen is the stamp of the vote that the person sees, or nothingSeen. It
	// belongs to the cast that is under way.
	seen popeye.Stamp
}

// nothingSeen is the stamp that a voter says to follow who has not voted yet. No
// vote is older, so that a late copy of the first vote cannot undo a change.
const nothingSeen popeye.Stamp = 1

// script makes up the votes. The same seed makes up the same ones.
type script struct {
	*rand.Rand
	voters [pollCount]int
	recent []*person
}

func newScript(seed uint64) *script {
	return &script{Rand: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // a drill can be repeated by its seed
}

func (s *script) next() cast {
	if len(s.recent) > 0 && s.IntN(100) < changes {
		return s.change()
	}
	if s.IntN(100) < changeables {
		return s.begin()
	}
	c := cast{poll: firstPoll, voter: s.voter(firstPoll), choice: s.IntN(options), rival: noRival, over: make(chan struct{})}
	if s.IntN(100) < rivals {
		c.rival = s.otherThan(c.choice)
	}
	return c
}

// begin is the first vote of somebody who may change it.
func (s *script) begin() cast {
	p := &person{voter: s.voter(changePoll), choice: s.IntN(options), seen: nothingSeen}
	if len(s.recent) < memory {
		s.recent = append(s.recent, p)
	} else {
		s.recent[s.IntN(memory)] = p
	}
	return p.cast()
}

// change is a change by one of those who may.
func (s *script) change() cast {
	p := s.recent[s.IntN(len(s.recent))]
	p.choice = s.otherThan(p.choice)
	return p.cast()
}

// cast returns the person's next cast.
func (p *person) cast() cast {
	c := cast{
		poll: changePoll, voter: p.voter, choice: p.choice, rival: noRival,
		person: p, before: p.last, over: make(chan struct{}),
	}
	p.last = c.over
	return c
}

func (s *script) voter(poll int) int {
	s.voters[poll]++
	return s.voters[poll]
}

func (s *script) otherThan(choice int) int { return (choice + 1 + s.IntN(options-1)) % options }
