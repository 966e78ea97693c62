package quorum

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"popeye"
)

// walk is one cast on its way over its voter's servers: which vote is to stand,
// and how many hold it.
//
// The first server that answers decides as if it were the only one. The others
// are given a copy of what stands there. Under policy first a server that holds
// another vote of the voter makes that one the vote to be copied, whatever was to
// be before: so the casts of a voter meet at the first server that never fails,
// and agree. Under change a newer vote elsewhere ends the walk.
type walk struct {
	policy popeye.Policy
	copies int
	// cast is what the caster wants.
	cast popeye.Cast
	// vote is the one that is to stand, others those that were, and are held too.
	vote   holding
	others []holding
	// copying: a server has decided, and the next ones are to keep copies.
	copying bool
	// outcome is what the first server that answered said.
	outcome popeye.Outcome
	// conflict: vote is a newer one, made elsewhere.
	conflict bool
	missed   obstacles
	// patient: no server is left alone, and each has more time.
	patient bool
	// left: a server may hold a copy of the cast now.
	left bool
}

// holding is a vote and which servers are known to hold it, by their numbers. It is
// unconfirmed as long as all of these copies are.
type holding struct {
	popeye.Mark
	// held are the servers that hold it, unsure those of them whose copy is not
	// confirmed.
	held, unsure servers
}

// servers are a set of servers: bit i is the one with number i.
type servers uint64

func (s servers) count() int { return bits.OnesCount64(uint64(s)) }

func newWalk(policy popeye.Policy, copies int, c popeye.Cast) walk {
	c.Copy = false
	own := popeye.Mark{Choices: c.Choices, Stamp: c.Stamp, Serial: c.Serial, Unconfirmed: true}
	return walk{policy: policy, copies: copies, cast: c, vote: holding{Mark: own}}
}

// next is the cast for the next server. The copy that makes n is confirmed: it is
// true whenever that copy is written, however late.
func (w *walk) next() popeye.Cast {
	c := w.cast
	c.Choices, c.Stamp, c.Serial = w.vote.Choices, w.vote.Stamp, w.vote.Serial
	c.Unconfirmed = w.vote.held.count()+1 < w.copies
	c.Copy = w.copying
	return c
}

// take notes the answer of the server with a number. It returns true when the same
// server must be asked once more: n servers hold its vote, and none of them knows
// that.
func (w *walk) take(number int, a popeye.Answer) (again bool) {
	if w.outcome == "" || w.outcome == popeye.Accepted && a.Outcome == popeye.Changed {
		w.outcome = a.Outcome
	}
	w.copying = true
	switch {
	case w.isSame(w.vote.Mark, a.Mark):
		w.vote.add(number, a.Mark)
	case a.Outcome == popeye.Conflict:
		w.vote, w.conflict = holding{Mark: a.Mark}, true
		return false
	default:
		w.turnTo(number, a.Mark)
	}
	return w.vote.Unconfirmed && w.vote.held.count() >= w.copies
}

// compare takes the newest vote of a voter, read before anything is written, for
// what the cast may change.
func (w *walk) compare(m popeye.Mark) {
	switch a := m.Decide(w.policy, w.cast); a.Outcome {
	case popeye.Repeated:
		w.vote, w.copying, w.outcome = holding{Mark: m}, true, popeye.Repeated
	case popeye.Conflict:
		w.vote, w.conflict = holding{Mark: m}, true
	}
}

// turnTo makes m the vote that is to stand, which one more server holds.
func (w *walk) turnTo(number int, m popeye.Mark) {
	if w.vote.held != 0 {
		w.others = append(w.others, w.vote)
	}
	w.vote = holding{Mark: m}
	if i := slices.IndexFunc(w.others, func(h holding) bool { return w.isSame(h.Mark, m) }); i >= 0 {
		w.vote = w.others[i]
		w.others = slices.Delete(w.others, i, i+1)
	}
	w.vote.add(number, m)
}

// isSame reports whether two marks are of the same vote. Under first the choices
// say it all: when a voter casts the same again, its first copies may be on other
// servers than those of the second time, and they count together.
func (w *walk) isSame(a, b popeye.Mark) bool {
	return a.Choices == b.Choices && (w.policy == popeye.First || a.Stamp == b.Stamp)
}

// add notes that one more server holds h, as m has it, or has confirmed it now.
func (h *holding) add(number int, m popeye.Mark) {
	h.held |= 1 << number
	h.unsure &^= 1 << number
	if m.Unconfirmed {
		h.unsure |= 1 << number
	}
	h.Stamp = m.Stamp
	h.Serial = max(h.Serial, m.Serial)
	h.Unconfirmed = h.Unconfirmed && m.Unconfirmed
}

// isSettled reports whether the answer is known. Under first, a single confirmed
// copy says that n servers hold the vote, and no other one ever will be confirmed.
// Under change there may be a newer one on the other servers.
func (w *walk) isSettled() bool {
	switch {
	case w.conflict:
		return true
	case w.vote.held == 0 || w.vote.Unconfirmed:
		return false
	case w.policy == popeye.First:
		return w.isAlone() || w.confirmed() >= w.copies
	default:
		return w.vote.held.count() >= w.copies
	}
}

// isAlone reports whether no other vote of the voter can be anywhere: every server
// so far has answered, and none of them holds one.
//
// Where one may be, a server that loses its data could take the only confirmed copy
// with it, and an unconfirmed one looks like any other. So n copies have to be
// confirmed then.
func (w *walk) isAlone() bool { return w.missed.all() == 0 && len(w.others) == 0 }

// confirmed counts the servers that are known to hold the vote, confirmed.
func (w *walk) confirmed() int { return w.vote.held.count() - w.vote.unsure.count() }

// toConfirm are the servers whose copies have to be confirmed yet, once n servers
// hold the vote.
func (w *walk) toConfirm() servers {
	if w.isSettled() || w.vote.held.count() < w.copies {
		return 0
	}
	return w.vote.unsure
}

// isOver reports whether there is no use in going on: the walk is settled, or so
// many servers did not take the cast that the others are fewer than n.
func (w *walk) isOver(tooMany int) bool { return w.isSettled() || w.missed.all() >= tooMany }

// closed is err, which says that the round is closed, unless a copy of the vote
// came in time: then it may count, and its voter must not be told that it is
// refused.
func (w *walk) closed(err error) error {
	if w.vote.held == 0 {
		return err
	}
	return fmt.Errorf("%w: %w", popeye.ErrUnavailable, errClosedMeanwhile)
}

// answer is what the caster is told once the walk is settled.
func (w *walk) answer() popeye.Answer {
	a := popeye.Answer{Outcome: popeye.Repeated, Mark: w.vote.Mark}
	switch {
	case w.conflict:
		a.Outcome = popeye.Conflict
	case w.vote.Choices != w.cast.Choices:
		a.Outcome = popeye.Already
	case w.vote.Stamp == w.cast.Stamp && w.outcome.Stands():
		a.Outcome = w.outcome
	}
	return a
}

// obstacles count the servers that did not take a cast, by why.
type obstacles struct {
	full, closed, unknown, failed int
	last                          error
}

func (o *obstacles) note(err error) {
	o.last = err
	switch {
	case errors.Is(err, popeye.ErrFull):
		o.full++
	case errors.Is(err, popeye.ErrClosed):
		o.closed++
	case errors.Is(err, popeye.ErrNotFound):
		o.unknown++
	default:
		o.failed++
	}
}

func (o *obstacles) all() int { return o.full + o.closed + o.unknown + o.failed }
