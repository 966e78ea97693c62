package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"popeye"
)

// receipting is what voters can check.
func receipting() []promise {
	return []promise{
		{"a receipt finds a vote that is counted", findsCounted},
		{"a receipt finds a vote that was rejected, and why", findsRejected},
		{"a receipt of an earlier round is found in it", func(s suite) {
			d := s.open("p", popeye.First)
			s.record(first(d, 1, 0))
			s.close(d)
			s.record(first(s.reopen("p"), 2, 0))
			s.found(voter(1), popeye.Finding{Poll: "p", Round: d.Round, Fate: popeye.Counted, Cast: castAt(0)})
		}},
		{"a receipt finds the vote that it is of and no neighbour", findsNoNeighbour},
		{"what is no receipt, or of no vote, is not found", findsNothing},
		{"the receipts of a final round are those counted, in alphabetical order", listsReceipts},
		{"there is no list of receipts before the round is final", func(s suite) {
			d := s.create(poll("p", popeye.First, 2), popeye.Draft)
			for _, step := range []func(){func() {}, func() { s.reopen("p") }, func() { s.close(d) }} {
				step()
				if err := s.Receipts(s.Context(), "p", func(string) error { return nil }); !errors.Is(err, popeye.ErrExists) {
					s.Fatalf("Receipts of a round %s = %v; want ErrExists", s.tally("p").State, err)
				}
			}
			s.finalise(d)
			s.receipts("p")
			s.reopen("p")
			if err := s.Receipts(s.Context(), "p", func(string) error { return nil }); !errors.Is(err, popeye.ErrExists) {
				s.Fatalf("Receipts of the next round = %v; want ErrExists", err)
			}
			if err := s.Receipts(s.Context(), "q", func(string) error { return nil }); !errors.Is(err, popeye.ErrNotFound) {
				s.Fatalf("Receipts of no poll = %v; want ErrNotFound", err)
			}
		}},
		{"a list of receipts ends where its reader does", func(s suite) {
			d := s.open("p", popeye.First)
			s.record(first(d, 1, 0), first(d, 2, 0), first(d, 3, 0))
			s.close(d)
			s.finalise(d)
			gone, read := errors.New("gone"), 0
			err := s.Receipts(s.Context(), "p", func(string) error {
				if read++; read == 2 {
					return gone
				}
				return nil
			})
			if !errors.Is(err, gone) || read != 2 {
				s.Fatalf("Receipts = %v after %d; want the reader's error after 2", err, read)
			}
		}},
		{"a list of receipts is whole or fails, though its poll is deleted meanwhile", listsAllOrFails},
		{"a final round is certified with the hash of its receipts", certifies},
		{"a final round without votes is certified too", func(s suite) {
			d := s.open("p", popeye.First)
			s.close(d)
			s.finalise(d)
			s.certify()
			if got, want := s.tally("p").ReceiptsHash, hashOf(nil); got != want {
				s.Fatalf("the hash is %q; want that of nothing, %s", got, want)
			}
		}},
	}
}

func findsCounted(s suite) {
	d, e := s.open("p", popeye.First), s.open("q", popeye.Change)
	s.record(first(d, 1, 0), unconfirmed(later(d, 2, 5, 1)), nth(e, 3, 2, 0))
	s.found(voter(1), popeye.Finding{Poll: "p", Round: d.Round, Fate: popeye.Counted, Cast: castAt(0)})
	s.found(voter(2), popeye.Finding{Poll: "p", Round: d.Round, Fate: popeye.Counted, Cast: castAt(5)})
	s.found(voter(3), popeye.Finding{Poll: "q", Round: e.Round, Fate: popeye.Counted, Cast: castAt(1)})
	s.record(nth(e, 3, 4, 1))
	s.close(e)
	s.finalise(e)
	s.record(nth(e, 3, 5, 0)) // late, and another vote of a voter who is counted
	s.found(voter(3), popeye.Finding{Poll: "q", Round: e.Round, Fate: popeye.Counted, Cast: castAt(3)})
}

func findsRejected(s suite) {
	d := s.open("p", popeye.First)
	none := popeye.Definition{Round: d.Round + 1000}
	s.park(popeye.Parked{Vote: later(d, 1, 3, 60), Reason: "no such option"}, popeye.Parked{Vote: first(none, 2, 0), Reason: "no such round"},
		popeye.Parked{Vote: first(d, 4, 0), Reason: "why"})
	s.found(voter(1), popeye.Finding{Poll: "p", Round: d.Round, Fate: popeye.Rejected, Cast: castAt(3), Reason: "no such option"})
	s.found(voter(2), popeye.Finding{Round: none.Round, Fate: popeye.Rejected, Cast: castAt(0), Reason: "no such round"})
	s.found(voter(4), popeye.Finding{Poll: "p", Round: d.Round, Fate: popeye.Rejected, Cast: castAt(0), Reason: "why"})
	s.retry(d.Round)
	s.found(voter(4), popeye.Finding{Poll: "p", Round: d.Round, Fate: popeye.Counted, Cast: castAt(0)})
	s.close(d)
	s.finalise(d)
	s.record(later(d, 3, 4, 0))
	s.found(voter(3), popeye.Finding{Poll: "p", Round: d.Round, Fate: popeye.Rejected, Cast: castAt(4), Reason: "late"})
}

// findsNoNeighbour has pseudonyms at the very ends of what a receipt covers.
func findsNoNeighbour(s suite) {
	d := s.open("p", popeye.First)
	of := func(tenth, rest byte) popeye.Voter {
		v := voter(1)
		v[9] = tenth
		for i := 10; i < len(v); i++ {
			v[i] = rest
		}
		return v
	}
	for i, v := range []popeye.Voter{of(6, 0xff), of(7, 0), of(9, 0xff), of(10, 0), of(0xff, 0xff)} {
		s.record(popeye.Vote{Round: d.Round, Voter: v, Choices: 1, Stamp: first(d, 0).Stamp + popeye.Stamp(i), Serial: 1})
		s.found(v, popeye.Finding{Poll: "p", Round: d.Round, Fate: popeye.Counted, Cast: castAt(popeye.Stamp(i))})
	}
	s.notFound(of(5, 0).Receipt())
	s.notFound(of(8, 0).Receipt())
	s.notFound(of(11, 0).Receipt())
}

func findsNothing(s suite) {
	d := s.open("p", popeye.First)
	s.record(first(d, 1, 0))
	code := voter(1).Receipt()
	s.notFound(voter(2).Receipt())
	for _, bad := range []string{
		"", code[:15], code + "A", code + code, code[:8], code[:15] + "1", code[:15] + "=", code[:15] + "\n", " " + code[:15],
		code + " ", code + "\n", strings.Repeat("\x00", 16), strings.Repeat("ſ", 8), strings.Repeat("\xff", 16), "%" + code[1:], "'" + code[1:],
	} {
		s.notFound(bad)
	}
	s.remove("p")
	s.notFound(code)
}

func listsReceipts(s suite) {
	d := s.open("p", popeye.Change)
	var want []string
	var votes []popeye.Vote
	for n := range 500 {
		votes = append(votes, first(d, n, 0))
		want = append(want, voter(n).Receipt())
	}
	slices.Sort(want)
	s.record(votes...)
	s.record(nth(d, 1, 2, 1), nth(d, 2, 2, 1))
	s.park(popeye.Parked{Vote: first(d, 1000, 60), Reason: "no such option"})
	s.close(d)
	s.finalise(d)
	s.record(first(d, 1001, 0))
	if got := s.receipts("p"); !slices.Equal(got, want) {
		s.Fatalf("%d receipts, sorted %v; want %d, sorted", len(got), slices.IsSorted(got), len(want))
	}
}

func listsAllOrFails(s suite) {
	d := s.open("p", popeye.First)
	var votes []popeye.Vote
	for n := range 200 {
		votes = append(votes, first(d, n, 0))
	}
	s.record(votes...)
	s.close(d)
	s.finalise(d)
	listed := 0
	err := s.Receipts(s.Context(), "p", func(string) error {
		if listed++; listed == 1 {
			s.remove("p")
		}
		return nil
	})
	if err == nil && listed != len(votes) || err != nil && !errors.Is(err, popeye.ErrNotFound) {
		s.Fatalf("Receipts = %v after %d of %d; want all, or ErrNotFound", err, listed, len(votes))
	}
}

func certifies(s suite) {
	d, e := s.open("p", popeye.First), s.open("q", popeye.First)
	for n := range 100 {
		s.record(first(d, n, n%3), first(e, n, 0))
	}
	s.close(d)
	s.close(e)
	s.finalise(d)
	s.certify()
	before := s.tally("p")
	if got, want := before.ReceiptsHash, hashOf(s.receipts("p")); got != want {
		s.Fatalf("the hash is %q; want %s", got, want)
	}
	if got := s.tally("q").ReceiptsHash; got != "" {
		s.Fatalf("a round that is not final has the hash %s", got)
	}
	version := s.tally("q").Version
	s.finalise(e)
	version = s.moved("q", version)
	s.certify()
	version = s.moved("q", version)
	s.certify()
	s.unmoved("q", version)
	s.unmoved("p", before.Version)
	s.record(first(d, 200, 0)) // late
	s.certify()
	if after := s.expect("p", counts{votes: before.Votes, total: 100, stored: 100, rejected: 1}); after.ReceiptsHash != before.ReceiptsHash {
		s.Fatalf("the hash went from %s to %q", before.ReceiptsHash, after.ReceiptsHash)
	}
	s.reopen("p")
	s.certify()
	if got := s.tally("p").ReceiptsHash; got != "" {
		s.Fatalf("the next round has the hash %s", got)
	}
}

// hashOf says in code what popeye.Tally.ReceiptsHash says in words.
func hashOf(receipts []string) string {
	h := sha256.New()
	for _, r := range receipts {
		h.Write([]byte(r + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// found checks what a voter's receipt finds, in upper and lower case.
func (s suite) found(v popeye.Voter, want popeye.Finding) {
	s.Helper()
	for _, receipt := range []string{v.Receipt(), strings.ToLower(v.Receipt())} {
		got, err := s.Find(s.Context(), receipt)
		got.Cast = got.Cast.UTC()
		if err != nil || got != want {
			s.Fatalf("Find = %+v, %v; want %+v", got, err, want)
		}
	}
}

func (s suite) notFound(receipt string) {
	s.Helper()
	if got, err := s.Find(s.Context(), receipt); !errors.Is(err, popeye.ErrNotFound) {
		s.Fatalf("Find(%q) = %+v, %v; want ErrNotFound", receipt, got, err)
	}
}

func (s suite) receipts(id string) []string {
	s.Helper()
	var all []string
	err := s.Receipts(s.Context(), id, func(receipt string) error {
		all = append(all, receipt)
		return nil
	})
	if err != nil {
		s.Fatalf("Receipts: %v", err)
	}
	return all
}

func (s suite) certify() {
	s.Helper()
	if err := s.Certify(s.Context()); err != nil {
		s.Fatalf("Certify: %v", err)
	}
}
