package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"popeye"
)

// More receipts than are held at a time still come sorted as text, each once.
func TestALongListOfReceiptsIsSorted(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	var want []string
	for n := range 25 {
		votes := randomVotes(d, 1000)
		record(t, s, votes...)
		for _, v := range votes {
			want = append(want, v.Voter.Receipt())
		}
		if n == 0 {
			record(t, s, randomVotes(createPoll(t, s, "q", popeye.First), 100)...)
		}
	}
	slices.Sort(want)
	finalise(t, s, d)
	// Several processes may certify at the same time.
	var g errgroup.Group
	for range 3 {
		g.Go(func() error { return s.Certify(t.Context()) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := s.Receipts(t.Context(), "p", func(r string) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d receipts are listed; want %d, sorted", len(got), len(want))
	}
	hash := sha256.Sum256([]byte(strings.Join(want, "\n") + "\n"))
	if tally, err := s.Tally(t.Context(), "p"); err != nil || tally.ReceiptsHash != hex.EncodeToString(hash[:]) {
		t.Errorf("the hash is %q, %v; want %x", tally.ReceiptsHash, err, hash)
	}
}

// However many votes there are, the prefixes lead to each of them once, and in
// order.
func TestPrefixesDivideAllReceipts(t *testing.T) {
	t.Parallel()
	for _, total := range []int64{0, 1, atOnce, atOnce + 1, 32*atOnce + 1, 10_000_000} {
		prefixes := slices.Collect(prefixes(total))
		if !slices.IsSorted(prefixes) || int64(len(prefixes))*(atOnce+1) < total || total <= atOnce && len(prefixes) != 1 {
			t.Errorf("%d receipts are divided by %d prefixes", total, len(prefixes))
		}
		for range 100 {
			var voter popeye.Voter
			for i := range voter {
				voter[i] = byte(rand.Uint32())
			}
			within := 0
			for _, p := range prefixes {
				if strings.HasPrefix(voter.Receipt(), p) {
					within++
					first, last, ok := span(p)
					if !ok || slices.Compare(first[:], voter[:]) > 0 || slices.Compare(last[:], voter[:]) < 0 {
						t.Fatalf("%s is not within %s", voter.Receipt(), p)
					}
				}
			}
			if within != 1 {
				t.Fatalf("%s has %d prefixes; want 1", voter.Receipt(), within)
			}
		}
	}
}

func randomVotes(d popeye.Definition, n int) []popeye.Vote {
	votes := newVotes(d, 0, n)
	for i := range votes {
		for j := range votes[i].Voter {
			votes[i].Voter[j] = byte(rand.Uint32())
		}
	}
	return votes
}

func finalise(t *testing.T, s *Store, d popeye.Definition) {
	t.Helper()
	if err := s.Close(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	if err := s.Finalise(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
}
