package quorum

import "popeye"

// Bounds of what is explored, so that a state of the world can be compared.
const (
	mostServers = 5
	mostCasters = 4
	mostLate    = 2
)

// setup is what is explored: who casts, on how many servers, and what may fail.
type setup struct {
	policy          popeye.Policy
	servers, copies int
	casters         []caster
	// inTurn is how many of the casters come one after the other before the rest
	// come together.
	inTurn int
	// culprit is the number of the one server that fails; everyone: any does.
	culprit int
	// loser may lose all of its data, wipes times; afterwards: only when nobody casts
	// any more.
	loser, wipes int
	afterwards   bool
	// late is how many requests may arrive after their caster has given up.
	late int
	// large: millions of states where every server fails.
	large bool
	// impatient: two slow clocks may overtake each other more often than a caster
	// stamps again.
	impatient bool
}

const everyone = -1

// mayFail reports whether a server may not answer.
func (s *setup) mayFail(number int) bool { return s.culprit == everyone || s.culprit == number }

// mayBegin reports whether caster i has had to wait long enough.
func (s *setup) mayBegin(w *world, i int) bool {
	before := min(i, s.inTurn) - 1
	return before < 0 || w.casters[before].done
}

// mayLose reports whether the loser may lose its data now.
func (s *setup) mayLose(w *world) bool {
	if w.wipes == s.wipes || !w.servers[s.loser].voted {
		return false
	}
	for i := range s.casters {
		if s.afterwards && !w.casters[i].done {
			return false
		}
	}
	return true
}

// world is the state of everything at one moment.
type world struct {
	servers [mostServers]server
	// lost are the entries that were in streams whose server lost its data: each of
	// them may have been recorded before.
	lost    entries
	casters [mostCasters]*path
	began   [mostCasters]bool
	// floor is the newest stamp that was acknowledged before each caster began.
	floor [mostCasters]popeye.Stamp
	late  [mostLate]call
	wipes int
}

// server is what a queue server holds of the voter.
type server struct {
	mark  popeye.Mark
	voted bool
	// stream is what it has delivered or will deliver.
	stream entries
}

// do lets a server do what it is asked.
func (w *world) do(c call, policy popeye.Policy, b *ballots) reply {
	s := &w.servers[c.server]
	if c.read {
		return reply{mark: s.mark, found: s.voted}
	}
	return reply{answer: s.put(c.cast, policy, b)}
}

func (s *server) put(c popeye.Cast, policy popeye.Policy, b *ballots) popeye.Answer {
	a := c.Begin()
	if s.voted {
		a = s.mark.Decide(policy, c)
	}
	if !s.voted || a.Mark != s.mark {
		s.mark, s.voted = a.Mark, true
		s.stream |= b.entry(a.Mark)
	}
	return a
}

// wipe takes all data of a server from it.
func (w *world) wipe(number int) {
	w.lost |= w.servers[number].stream
	w.servers[number] = server{}
	w.wipes++
}

// delivered returns what the store gets for certain, and what it may get: all is
// uncertain of a server that may lose its data yet.
func (w *world) delivered(s *setup) (must, may entries) {
	may = w.lost
	for n := range w.servers {
		if n == s.loser && s.wipes > 0 {
			may |= w.servers[n].stream
			continue
		}
		must |= w.servers[n].stream
	}
	return must, may
}

// acknowledged returns the newest stamp that anybody was told stands.
func (w *world) acknowledged(s *setup) popeye.Stamp {
	var newest popeye.Stamp
	for i := range s.casters {
		if p := w.casters[i]; p.done && p.err == nil && p.answer.Outcome.Stands() {
			newest = max(newest, p.answer.Mark.Stamp)
		}
	}
	return newest
}

// entries are a set of votes that a queue delivers, each confirmed or not: bit
// 2*i is vote i unconfirmed, bit 2*i+1 confirmed.
type entries uint64

const allUnconfirmed entries = 0x5555555555555555

func bit(i int, unconfirmed bool) entries {
	if unconfirmed {
		return 1 << (2 * i)
	}
	return 1 << (2*i + 1)
}

// ballots numbers the votes of an exploration.
type ballots struct {
	votes []popeye.Vote
}

func (b *ballots) entry(m popeye.Mark) entries {
	for i, v := range b.votes {
		if m.Is(v) {
			return bit(i, m.Unconfirmed)
		}
	}
	if len(b.votes) == 32 {
		panic("more votes than a set of entries has room for")
	}
	b.votes = append(b.votes, popeye.Vote{Choices: m.Choices, Stamp: m.Stamp})
	return bit(len(b.votes)-1, m.Unconfirmed)
}

// of lists the votes in a set, each once.
func (b *ballots) of(set entries) []popeye.Vote {
	var votes []popeye.Vote
	for i, v := range b.votes {
		if set&(bit(i, true)|bit(i, false)) != 0 {
			votes = append(votes, v)
		}
	}
	return votes
}
