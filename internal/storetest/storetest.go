// Package storetest is the contract of a store: what the roles rely on,
// whatever keeps the votes. Every store passes it unchanged.
package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"popeye"
)

// Store is all that a store does, as its roles see it.
type Store interface {
	Votes
	Rounds
	Organisers
	Results
}

// Votes is where votes end up.
type Votes interface {
	Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error)
	Park(ctx context.Context, parked []popeye.Parked) (popeye.Recorded, error)
	Certify(ctx context.Context) error
}

// Rounds is what brings a round to its end.
type Rounds interface {
	Catalog(ctx context.Context) (*popeye.Catalog, error)
	Close(ctx context.Context, round int64) error
	Finalise(ctx context.Context, round int64) error
	NameVoterKey(ctx context.Context, name string) error
}

// Organisers is what organisers do.
type Organisers interface {
	Polls
	Rejects
}

// Polls is what they do about polls.
type Polls interface {
	Apply(ctx context.Context, p popeye.Poll, first popeye.State) (d popeye.Definition, created bool, err error)
	Open(ctx context.Context, id string) (popeye.Definition, error)
	Delete(ctx context.Context, id string) error
	Declare(ctx context.Context, id string) (popeye.Definition, error)
}

// Rejects is what they do about votes that were parked.
type Rejects interface {
	Parked(ctx context.Context) ([]popeye.ParkedVotes, error)
	Retry(ctx context.Context, round int64) (popeye.Recorded, error)
	Drop(ctx context.Context, round int64) (int64, error)
}

// Results is what viewers and voters see.
type Results interface {
	Tally(ctx context.Context, id string) (popeye.Tally, error)
	Find(ctx context.Context, receipt string) (popeye.Finding, error)
	Receipts(ctx context.Context, id string, do func(receipt string) error) error
	Lag(ctx context.Context) (time.Duration, error)
}

// Run checks each promise on a store of its own. Open returns one that is
// empty, and sees to it that it is closed when its test ends.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, p := range slices.Concat(recording(), changing(), copying(), rejecting(), retrying(),
		defining(), cataloguing(), ending(), receipting(), together()) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.check(suite{tester: t, Store: open(t)})
		})
	}
	t.Run("any history ends where the rules say", func(t *testing.T) {
		t.Parallel()
		anyHistory(t, open(t))
	})
}

// promise is one thing that a store holds to.
type promise struct {
	name  string
	check func(suite)
}

// suite is a store under test, and the words in which promises are checked. It
// fails the test where the store returns an error that the promise does not
// mention.
type suite struct {
	tester
	Store
}

// tester is what a promise needs of a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// open creates an open single-choice poll with the options a, b and c.
func (s suite) open(id string, policy popeye.Policy) popeye.Definition {
	s.Helper()
	return s.create(poll(id, policy, 3), popeye.Open)
}

func (s suite) create(p popeye.Poll, first popeye.State) popeye.Definition {
	s.Helper()
	d, created, err := s.Apply(s.Context(), p, first)
	if err != nil || !created {
		s.Fatalf("Apply(%s) = created %v, %v; want it created", p.ID, created, err)
	}
	return d
}

func (s suite) update(p popeye.Poll) popeye.Definition {
	s.Helper()
	d, created, err := s.Apply(s.Context(), p, popeye.Draft)
	if err != nil || created {
		s.Fatalf("Apply(%s) = created %v, %v; want it updated", p.ID, created, err)
	}
	return d
}

func (s suite) reopen(id string) popeye.Definition {
	s.Helper()
	d, err := s.Open(s.Context(), id)
	if err != nil {
		s.Fatalf("Open(%s): %v", id, err)
	}
	return d
}

func (s suite) close(d popeye.Definition) {
	s.Helper()
	if err := s.Close(s.Context(), d.Round); err != nil {
		s.Fatalf("Close: %v", err)
	}
}

func (s suite) finalise(d popeye.Definition) {
	s.Helper()
	if err := s.Finalise(s.Context(), d.Round); err != nil {
		s.Fatalf("Finalise: %v", err)
	}
}

func (s suite) record(votes ...popeye.Vote) popeye.Recorded {
	s.Helper()
	recorded, err := s.Record(s.Context(), votes, popeye.Progress{})
	if err != nil {
		s.Fatalf("Record: %v", err)
	}
	return recorded
}

func (s suite) park(parked ...popeye.Parked) popeye.Recorded {
	s.Helper()
	recorded, err := s.Park(s.Context(), parked)
	if err != nil {
		s.Fatalf("Park: %v", err)
	}
	return recorded
}

func (s suite) catalog() *popeye.Catalog {
	s.Helper()
	c, err := s.Catalog(s.Context())
	if err != nil {
		s.Fatalf("Catalog: %v", err)
	}
	return c
}

func (s suite) tally(id string) popeye.Tally {
	s.Helper()
	t, err := s.Tally(s.Context(), id)
	if err != nil {
		s.Fatalf("Tally(%s): %v", id, err)
	}
	return t
}

// counts is what a tally comes to, without its definition and version.
type counts struct {
	votes                   []int64
	total, stored, rejected int64
}

// expect checks a poll's counts and returns its tally.
func (s suite) expect(id string, want counts) popeye.Tally {
	s.Helper()
	t := s.tally(id)
	got := counts{votes: t.Votes, total: t.Total, stored: t.Ledger.Stored, rejected: t.Ledger.Rejected}
	if !slices.Equal(got.votes, want.votes) || got.total != want.total ||
		got.stored != want.stored || got.rejected != want.rejected {
		s.Fatalf("the tally of %s is %+v; want %+v", id, got, want)
	}
	if l := t.Ledger; l.Accepted != l.Stored+l.Rejected || l.Queued != 0 {
		s.Fatalf("the ledger of %s does not add up: %+v", id, l)
	}
	return t
}

// poll is a valid single-choice poll with the options a, b, c ...
func poll(id string, policy popeye.Policy, options int) popeye.Poll {
	p := popeye.Poll{ID: id, Question: "Which one?", Policy: policy}
	for i := range options {
		p.Options = append(p.Options, popeye.Option{ID: optionID(i)})
	}
	return p.WithDefaults()
}

func optionID(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return optionID(i/26-1) + optionID(i%26)
}

// voter returns the nth voter: a pseudonym that looks like any other.
func voter(n int) popeye.Voter {
	var v popeye.Voter
	for i := range v {
		n = n*1_103_515_245 + 12_345
		v[i] = byte(n >> 16)
	}
	return v
}

// first is a voter's first vote in a poll.
func first(d popeye.Definition, n int, options ...int) popeye.Vote { return nth(d, n, 1, options...) }

// nth is a voter's vote number serial. Its stamp grows with its number, so that
// the same call names the same vote.
func nth(d popeye.Definition, n int, serial int64, options ...int) popeye.Vote {
	v := popeye.Vote{Round: d.Round, Voter: voter(n), Stamp: popeye.Stamp(1_700_000_000_000_000 + serial), Serial: serial}
	for _, o := range options {
		v.Choices |= 1 << o
	}
	return v
}
