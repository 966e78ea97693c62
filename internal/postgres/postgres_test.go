package postgres

import (
	"encoding/binary"
	"testing"

	"popeye"
	"popeye/internal/lab/labtest"
	"popeye/internal/storetest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store {
		t.Helper()
		return openNew(t)
	})
}

// openNew opens a store on a database of its own.
func openNew(tb testing.TB) *Store {
	tb.Helper()
	return openMigrated(tb, labtest.Database(tb))
}

// openMigrated migrates a database and opens it.
func openMigrated(tb testing.TB, dsn string) *Store {
	tb.Helper()
	if err := Migrate(tb.Context(), dsn); err != nil {
		tb.Fatal(err)
	}
	return openAt(tb, dsn)
}

// openAt opens a store that is shut down when the test ends.
func openAt(tb testing.TB, dsn string) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), Config{DSN: dsn, VoterKey: "k1"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Shutdown)
	return s
}

func testPoll(id string, policy popeye.Policy) popeye.Poll {
	p := popeye.Poll{ID: id, Question: "?", Policy: policy, Options: []popeye.Option{{ID: "a"}, {ID: "b"}}}
	return p.WithDefaults()
}

func createPoll(tb testing.TB, s *Store, id string, policy popeye.Policy) popeye.Definition {
	tb.Helper()
	d, _, err := s.Apply(tb.Context(), testPoll(id, policy), popeye.Open)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// newVotes are votes for option a by n voters, numbered from start.
func newVotes(d popeye.Definition, start, n int) []popeye.Vote {
	votes := make([]popeye.Vote, n)
	for i := range votes {
		votes[i] = popeye.Vote{Round: d.Round, Choices: 1, Stamp: 1 << 50, Serial: 1}
		binary.LittleEndian.PutUint64(votes[i].Voter[:], uint64(start+i+1)*0x9e3779b97f4a7c15)
	}
	return votes
}

func record(tb testing.TB, s *Store, votes ...popeye.Vote) popeye.Recorded {
	tb.Helper()
	recorded, err := s.Record(tb.Context(), votes, popeye.Progress{})
	if err != nil {
		tb.Fatal(err)
	}
	return recorded
}
