package popeye

import (
	"encoding/base32"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Voter is a pseudonym: 128 bits that name one voter in one round and tell
// nothing in any other.
type Voter [16]byte

// Receipt is a short code that finds a vote again, never its choice: the first
// 80 bits of the pseudonym in base 32 (RFC 4648), 16 characters.
func (v Voter) Receipt() string { return base32.StdEncoding.EncodeToString(v[:10]) }

// Stamp orders the votes of one voter in one round. It is made once per cast,
// in microseconds since 1970 or one above the newest stamp known, and is the
// same wherever that vote is kept. It fits a JSON number without loss until
// the year 2255.
type Stamp int64

// NoVote is the stamp that a cast follows whose voter saw that they had not voted
// yet: so a late copy of it changes no vote that was cast since.
const NoVote Stamp = 1

// NewStamp returns a stamp for a cast of c at now by a voter whose newest known
// stamp is newest (zero: none). It is above newest whatever the clock says, and
// at most some 2 ms ahead of both.
//
// Its lowest bits come from the choices: two devices whose clocks are slow make
// their stamps out of the same newest one, and if these were equal, nothing could
// tell which of two votes stands. So no two votes for single options get the same
// one, nor any two of up to nine options.
func NewStamp(now time.Time, newest Stamp, c Choices) Stamp {
	const share = 1 << 10
	const prime = 1021 // below share: other choices leave another remainder
	at := max(Stamp(now.UnixMicro()), newest+1)
	return (at+share-1)/share*share + Stamp(c%prime)
}

// Choices is the set of options that a vote names: bit i for option i.
type Choices uint64

// Has reports whether the option at position i is chosen.
func (c Choices) Has(i int) bool { return c&(1<<i) != 0 }

// Count returns how many options are chosen.
func (c Choices) Count() int { return bits.OnesCount64(uint64(c)) }

// Within reports whether all of c are among the first n options.
func (c Choices) Within(n int) bool { return bits.Len64(uint64(c)) <= n }

// Reasons why a list of option IDs is no vote in a poll.
var (
	ErrUnknownOption = errors.New("the poll has no such option")
	ErrWrongNumber   = errors.New("wrong number of options")
)

// Choose turns option IDs, compared byte for byte, into the choices of a vote.
// It fails with ErrUnknownOption, or with ErrWrongNumber where an option is
// repeated or their number is not what the poll allows.
func (p *Poll) Choose(ids []string) (Choices, error) {
	if len(ids) < p.Min || len(ids) > p.Max {
		return 0, fmt.Errorf("%w: %s", ErrWrongNumber, p.allowed())
	}
	var c Choices
	for _, id := range ids {
		i := slices.IndexFunc(p.Options, func(o Option) bool { return o.ID == id })
		if i < 0 {
			return 0, ErrUnknownOption
		}
		if c.Has(i) {
			return 0, fmt.Errorf("%w: an option is named twice", ErrWrongNumber)
		}
		c |= 1 << i
	}
	return c, nil
}

func (p *Poll) allowed() string {
	if p.Min == p.Max {
		return fmt.Sprintf("choose %d", p.Min)
	}
	return fmt.Sprintf("choose %d to %d", p.Min, p.Max)
}

// Chosen returns the options that c names, in the poll's order.
func (p *Poll) Chosen(c Choices) []Option {
	var chosen []Option
	for i, o := range p.Options {
		if c.Has(i) {
			chosen = append(chosen, o)
		}
	}
	return chosen
}

// Vote is one voter's choices in one round.
type Vote struct {
	Round   int64
	Voter   Voter
	Choices Choices
	Stamp   Stamp
	// Serial says which of the voter's distinct votes in this round this is,
	// from 1. The queue gives it. A store that keeps the newest vote of each
	// voter knows from it how many votes it stands for, so that the ledger stays
	// exact however often and in whatever order votes are delivered.
	Serial int64
	// Unconfirmed: this copy was written before enough queue servers had one.
	// A voter whose vote was acknowledged has a confirmed copy somewhere. Where
	// there is one queue, every copy is confirmed.
	Unconfirmed bool
}

// Cast is a vote on its way into the queue.
type Cast struct {
	Vote
	// After is the stamp of the vote that the voter saw when changing it. Zero:
	// the voter did not say.
	After Stamp
	// Copy: another queue server has taken this very vote, stamp and all, and
	// this one is to keep a copy. It asks no more whether the voter may change.
	Copy bool
}

// Mark is what the queue remembers of a voter in a round: the vote that stands.
type Mark struct {
	Choices Choices
	Stamp   Stamp
	Serial  int64
	// Unconfirmed: see Vote. A queue that is given the very vote that stands,
	// now confirmed, notes that and delivers it once more.
	Unconfirmed bool
}

// Is reports whether m is the mark of this very vote, confirmed or not.
func (m Mark) Is(v Vote) bool { return m.Stamp == v.Stamp && m.Choices == v.Choices }

// Outcome is what became of a cast.
type Outcome string

// Accepted, Changed and Repeated are successes: the choices of the cast stand.
// Already (policy first) and Conflict (policy change) say that others do.
const (
	Accepted Outcome = "accepted"
	Changed  Outcome = "changed"
	Repeated Outcome = "repeated"
	Already  Outcome = "already"
	Conflict Outcome = "conflict"
)

// Stands reports whether the cast's choices are what is recorded.
func (o Outcome) Stands() bool { return o == Accepted || o == Changed || o == Repeated }

// Answer is what a queue says to a cast: its outcome, and the vote that stands
// now, which is another one after Already and Conflict.
type Answer struct {
	Outcome Outcome
	Mark    Mark
}

// Decide says what becomes of cast c where the voter's mark is m, under policy
// p. Every queue decides like this.
//
// Under Change, a cast that names the vote it follows (c.After) loses to one
// made elsewhere since; one that does not, and whose stamp is not above the
// mark's, gets Conflict too and may be stamped again above it. A mark older
// than the vote that the cast follows is out of date, and so never a reason to
// call the cast a repeat.
//
// The queue has something to deliver when the mark in the answer differs from
// m: the vote, or under Repeated its confirmation.
func (m Mark) Decide(p Policy, c Cast) Answer {
	if m.Is(c.Vote) {
		m.Unconfirmed = m.Unconfirmed && c.Unconfirmed
		return Answer{Outcome: Repeated, Mark: m}
	}
	if p == Change {
		return m.change(c)
	}
	if m.Choices == c.Choices {
		return Answer{Outcome: Repeated, Mark: m}
	}
	return Answer{Outcome: Already, Mark: m}
}

// change decides under policy Change, where c is another vote than m.
func (m Mark) change(c Cast) Answer {
	if !c.Copy && m.Choices == c.Choices && m.Stamp >= c.After {
		return Answer{Outcome: Repeated, Mark: m}
	}
	changedSince := !c.Copy && c.After != 0 && m.Stamp > c.After
	if changedSince || m.Stamp >= c.Stamp {
		return Answer{Outcome: Conflict, Mark: m}
	}
	if c.Copy && m.Choices == c.Choices {
		// The same vote, sent again while this server was away: no vote of its own.
		return Answer{Outcome: Changed, Mark: c.mark(m.Serial)}
	}
	return Answer{Outcome: Changed, Mark: c.mark(m.Serial + 1)}
}

// Begin says what becomes of the first cast of a voter: it stands.
func (c Cast) Begin() Answer { return Answer{Outcome: Accepted, Mark: c.mark(1)} }

// mark is the mark of c as its voter's vote number serial, or a later one where
// another queue server knows more votes of this voter.
func (c Cast) mark(serial int64) Mark {
	return Mark{Choices: c.Choices, Stamp: c.Stamp, Serial: max(serial, c.Serial), Unconfirmed: c.Unconfirmed}
}

// Delivery is what a queue hands to a worker: a vote, or a seal.
type Delivery struct {
	// ID names the delivery within its queue, for Ack and Release.
	ID string
	// Vote is the vote delivered, unless Seal is set.
	Vote Vote
	// Seal is the round behind whose last vote this delivery stands, zero for a
	// vote: once all before it is recorded, the round can be made final.
	Seal int64
	// Progress is what recording this delivery is noted as, so that a store that
	// has lost it can be told from one that has it. Zero: it is not noted.
	Progress Progress
}
