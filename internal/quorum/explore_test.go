package quorum

import (
	"fmt"
	"strings"

	"popeye"
)

// explorer knows every way in which a set-up can go on.
type explorer struct {
	setup
	stories []*story
	ballots ballots
	start   world

	// seen are the states visited, broken says which promise is broken in one of
	// them and how it came to that.
	seen   map[world]struct{}
	trail  []move
	broken string
	// told counts the answers in the states where every caster has one.
	told map[popeye.Outcome]int
}

// explore visits every state that a set-up can get into: every interleaving of
// its casters' calls, with every fault that it allows at every moment. Promises
// are checked in each state, and so hold wherever a caster dies, too.
func explore(s setup) *explorer {
	e := newExplorer(s)
	e.visit(e.start)
	return e
}

func newExplorer(s setup) *explorer {
	e := &explorer{setup: s, seen: make(map[world]struct{}), told: make(map[popeye.Outcome]int)}
	for i := range s.casters {
		e.stories = append(e.stories, tell(i, &e.setup))
		e.start.casters[i] = e.stories[i].root
	}
	return e
}

// visit explores everything behind w, up to the first promise that is broken.
func (e *explorer) visit(w world) {
	if _, seen := e.seen[w]; seen || e.broken != "" {
		return
	}
	e.seen[w] = struct{}{}
	e.count(&w)
	if broken := w.breach(&e.setup, &e.ballots); broken != "" {
		e.broken = broken + e.way()
		return
	}
	for _, m := range e.moves(w) {
		e.trail = append(e.trail, m)
		e.visit(m.to)
		e.trail = e.trail[:len(e.trail)-1]
	}
}

func (e *explorer) count(w *world) {
	for i := range e.casters {
		if !w.casters[i].done {
			return
		}
	}
	for i := range e.casters {
		e.told[w.casters[i].answer.Outcome]++
	}
}

func (e *explorer) way() string {
	var way strings.Builder
	for _, m := range e.trail {
		fmt.Fprintf(&way, "\n\t%s", m)
	}
	return way.String()
}

// move is something that happens, and the world behind it.
type move struct {
	to    world
	what  string
	who   int
	call  call
	heard reply
}

// moves returns all that can happen next.
func (e *explorer) moves(w world) []move {
	var moves []move
	for i := range e.casters {
		if !w.casters[i].done && e.mayBegin(&w, i) {
			moves = append(moves, e.callsOf(w, i)...)
		}
	}
	for i, c := range w.late {
		if c == (call{}) {
			continue
		}
		m := move{to: w, what: "hears of it at last", who: -1, call: c}
		m.to.late[i] = call{}
		m.heard = m.to.do(c, e.policy, &e.ballots)
		moves = append(moves, m)
	}
	if e.mayLose(&w) {
		m := move{to: w, what: "loses its data", call: call{server: e.loser}}
		m.to.wipe(e.loser)
		moves = append(moves, m)
	}
	return moves
}

// callsOf lets caster i go on by one call, in every way in which that may go.
func (e *explorer) callsOf(w world, i int) []move {
	if !w.began[i] {
		w.began[i], w.floor[i] = true, w.acknowledged(&e.setup)
	}
	p := w.casters[i]
	well := move{to: w, what: "answers", who: i, call: p.next}
	well.heard = well.to.do(p.next, e.policy, &e.ballots)
	well.to.casters[i] = e.stories[i].hear(p, well.heard)
	if !e.mayFail(p.next.server) {
		return []move{well}
	}
	w.casters[i] = e.stories[i].hear(p, reply{silent: true})
	silent := move{to: w, what: "does not hear of it", who: i, call: p.next}
	if p.next.read {
		return []move{well, silent}
	}
	done := move{to: w, what: "does it, but its reply is lost", who: i, call: p.next}
	done.heard = done.to.do(p.next, e.policy, &e.ballots)
	moves := []move{well, silent, done}
	for n := range e.late {
		if w.late[n] == (call{}) {
			late := move{to: w, what: "will hear of it late", who: i, call: p.next}
			late.to.late[n] = p.next
			return append(moves, late)
		}
	}
	return moves
}

func (m move) String() string {
	if m.call == (call{server: m.call.server}) {
		return fmt.Sprintf("server %d %s", m.call.server, m.what)
	}
	return fmt.Sprintf("caster %d %s: server %d %s: %s %+v", m.who, m.call, m.call.server, m.what, m.heard.answer.Outcome, m.heard.standing())
}

func (c call) String() string {
	v := c.cast
	switch {
	case c.read:
		return "looks"
	case v.Copy:
		return fmt.Sprintf("copies %b@%d, unconfirmed %t", v.Choices, v.Stamp, v.Unconfirmed)
	default:
		return fmt.Sprintf("puts %b@%d after %d, unconfirmed %t", v.Choices, v.Stamp, v.After, v.Unconfirmed)
	}
}

// standing is the mark that a reply shows.
func (r reply) standing() popeye.Mark {
	if r.found {
		return r.mark
	}
	return r.answer.Mark
}
