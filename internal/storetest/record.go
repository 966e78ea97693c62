package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"

	"popeye"
)

// recording is what holds for any vote.
func recording() []promise {
	return []promise{
		{"a vote counts for its option and for its voter", func(s suite) {
			d := s.open("p", popeye.First)
			got := s.record(first(d, 1, 0), first(d, 2, 2), first(d, 3, 2))
			if got.Stored != 3 || got.Rejected != 0 || !slices.Equal(got.Moved, []string{"p"}) {
				s.Fatalf("Record = %+v; want 3 stored and p moved", got)
			}
			s.expect("p", counts{votes: []int64{1, 0, 2}, total: 3, stored: 3})
		}},
		{"a repeat changes nothing", repeatChangesNothing},
		{"redelivery three times in shuffled order counts once", shuffledRedelivery},
		{"a batch of any size counts every vote", anySize},
		{"a voter counts once in a batch with two votes", func(s suite) {
			d := s.open("p", popeye.First)
			s.record(first(d, 1, 0), first(d, 1, 0), nth(d, 1, 2, 0))
			s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: s.tally("p").Ledger.Stored})
		}},
		{"the first vote is never replaced under first", firstStands},
		{"a multiple-choice vote counts for each option and once for its voter", func(s suite) {
			p := poll("p", popeye.First, 4)
			p.Kind, p.Max = popeye.Multiple, 4
			d := s.create(p, popeye.Open)
			s.record(first(d, 1, 0, 1, 3), first(d, 2, 3))
			s.expect("p", counts{votes: []int64{1, 1, 0, 2}, total: 2, stored: 2})
		}},
		{"the last of 64 options counts like the first", func(s suite) {
			d := s.create(poll("p", popeye.Change, popeye.MaxOptions), popeye.Open)
			want := counts{votes: make([]int64, popeye.MaxOptions), total: 1, stored: 1}
			s.record(first(d, 1, 63))
			want.votes[63] = 1
			s.expect("p", want)
			s.record(nth(d, 1, 2, 0))
			want.votes[63], want.votes[0], want.stored = 0, 1, 2
			s.expect("p", want)
		}},
		{"a batch over several polls moves each of them", severalPolls},
		{"a voter of one round is another in the next", func(s suite) {
			d, e := s.open("p", popeye.First), s.open("q", popeye.First)
			s.record(first(d, 1, 0), first(e, 1, 1))
			s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1})
			s.expect("q", counts{votes: []int64{0, 1, 0}, total: 1, stored: 1})
		}},
		{"a vote for a round that never was is unrecordable and so is its batch", func(s suite) {
			d := s.open("p", popeye.First)
			s.unrecordable(first(d, 1, 0), first(popeye.Definition{Round: d.Round + 1000}, 2, 0))
			s.expect("p", counts{votes: []int64{0, 0, 0}})
		}},
		{"an option beyond the poll's is unrecordable and so is its batch", func(s suite) {
			d, e := s.open("p", popeye.First), s.open("q", popeye.First)
			s.unrecordable(first(d, 1, 0), first(e, 1, 1), first(e, 2, 3))
			s.expect("p", counts{votes: []int64{0, 0, 0}})
			s.expect("q", counts{votes: []int64{0, 0, 0}})
		}},
		{"no votes are nothing to record", func(s suite) {
			s.open("p", popeye.First)
			before := s.tally("p").Version
			if got := s.record(); got.Stored != 0 || len(got.Moved) != 0 {
				s.Fatalf("Record() = %+v; want nothing", got)
			}
			s.unmoved("p", before)
		}},
		{"a batch given up before it began records nothing", func(s suite) {
			d := s.open("p", popeye.First)
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			if _, err := s.Record(ctx, []popeye.Vote{first(d, 1, 0)}, popeye.Progress{}); !errors.Is(err, context.Canceled) {
				s.Fatalf("Record after cancel = %v; want context.Canceled", err)
			}
			s.expect("p", counts{votes: []int64{0, 0, 0}})
		}},
		{"the votes handed over stay as they were", func(s suite) {
			d := s.open("p", popeye.First)
			votes := []popeye.Vote{first(d, 9, 1), first(d, 3, 0), first(d, 3, 0), first(d, 5, 2)}
			before := slices.Clone(votes)
			s.record(votes...)
			if !slices.Equal(votes, before) {
				s.Fatal("Record changed the batch of its caller")
			}
		}},
	}
}

func repeatChangesNothing(s suite) {
	d := s.open("p", popeye.First)
	e := s.open("q", popeye.Change)
	votes := []popeye.Vote{first(d, 1, 0), first(d, 2, 1), first(e, 1, 0), nth(e, 2, 2, 1)}
	s.record(votes...)
	p, q := s.tally("p").Version, s.tally("q").Version
	got := s.record(votes...)
	if got.Stored != 0 || got.Rejected != 0 || len(got.Moved) != 0 {
		s.Fatalf("Record of a repeat = %+v; want nothing", got)
	}
	s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 2})
	s.expect("q", counts{votes: []int64{1, 1, 0}, total: 2, stored: 3})
	s.unmoved("p", p)
	s.unmoved("q", q)
}

func shuffledRedelivery(s suite) {
	d := s.open("p", popeye.Change)
	var deliveries []popeye.Vote
	for n := range 50 {
		for range 3 {
			deliveries = append(deliveries, first(d, n, n%3), nth(d, n, 2, (n+1)%3))
		}
	}
	rand.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
	var stored int64
	for batch := range slices.Chunk(deliveries, 17) {
		stored += s.record(batch...).Stored
	}
	if stored != 100 {
		s.Fatalf("the batches stored %d votes; want 100", stored)
	}
	s.expect("p", counts{votes: []int64{16, 17, 17}, total: 50, stored: 100})
}

func anySize(s suite) {
	d := s.open("p", popeye.First)
	next, want := 0, counts{votes: make([]int64, 3)}
	for _, size := range []int{1, 2, 3, 31, 64, 127, 128, 129, 1000} {
		var batch []popeye.Vote
		for range size {
			batch = append(batch, first(d, next, next%3))
			want.votes[next%3]++
			next++
		}
		want.total += int64(size)
		want.stored += int64(size)
		s.record(batch...)
		s.expect("p", want)
	}
}

func firstStands(s suite) {
	d := s.open("p", popeye.First)
	s.record(first(d, 1, 0), first(d, 2, 1))
	before := s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 2})
	for serial := int64(2); serial <= 4; serial++ {
		s.record(nth(d, 1, serial, 2), nth(d, 2, serial, 2))
	}
	s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 2})
	s.unmoved("p", before.Version)
}

func severalPolls(s suite) {
	d, e := s.open("p", popeye.First), s.open("q", popeye.First)
	s.open("r", popeye.First)
	p, q, r := s.tally("p").Version, s.tally("q").Version, s.tally("r").Version
	got := s.record(first(d, 1, 0), first(e, 2, 1), first(d, 3, 2), first(e, 4, 1))
	slices.Sort(got.Moved)
	if got.Stored != 4 || !slices.Equal(got.Moved, []string{"p", "q"}) {
		s.Fatalf("Record = %+v; want 4 stored, p and q moved", got)
	}
	s.expect("p", counts{votes: []int64{1, 0, 1}, total: 2, stored: 2})
	s.expect("q", counts{votes: []int64{0, 2, 0}, total: 2, stored: 2})
	s.moved("p", p)
	s.moved("q", q)
	s.unmoved("r", r)
}

// unrecordable checks that a batch is refused for its own data.
func (s suite) unrecordable(votes ...popeye.Vote) {
	s.Helper()
	if _, err := s.Record(s.Context(), votes, popeye.Progress{}); !errors.Is(err, popeye.ErrUnrecordable) {
		s.Fatalf("Record = %v; want ErrUnrecordable", err)
	}
}

// unmoved checks that a poll's tally has the version that it had.
func (s suite) unmoved(id string, version int64) {
	s.Helper()
	if now := s.tally(id).Version; now != version {
		s.Fatalf("the version of %s went from %d to %d with no change", id, version, now)
	}
}

// moved checks that a poll's tally has a higher version, and returns it.
func (s suite) moved(id string, version int64) int64 {
	s.Helper()
	now := s.tally(id).Version
	if now <= version {
		s.Fatalf("the version of %s went from %d to %d with a change", id, version, now)
	}
	return now
}
