package storetest

import (
	"popeye"
)

// changing is what holds for votes under policy change.
func changing() []promise {
	return []promise{
		{"a change takes the previous choice out of the count", func(s suite) {
			d := s.open("p", popeye.Change)
			s.record(first(d, 1, 0), first(d, 2, 0))
			s.record(nth(d, 1, 2, 1))
			s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 3})
			s.record(nth(d, 1, 3, 2))
			s.expect("p", counts{votes: []int64{1, 0, 1}, total: 2, stored: 4})
		}},
		{"the highest stamp stands in whatever order votes arrive", highestStands},
		{"the ledger knows of votes that a later one has overtaken", func(s suite) {
			d := s.open("p", popeye.Change)
			if got := s.record(nth(d, 1, 3, 1)); got.Stored != 3 {
				s.Fatalf("Record stored %d; want the 3 that the vote stands for", got.Stored)
			}
			s.expect("p", counts{votes: []int64{0, 1, 0}, total: 1, stored: 3})
			before := s.tally("p").Version
			s.record(nth(d, 1, 2, 0))
			s.record(first(d, 1, 2))
			s.expect("p", counts{votes: []int64{0, 1, 0}, total: 1, stored: 3})
			s.unmoved("p", before)
		}},
		{"a change back to an earlier choice is a vote of its own", func(s suite) {
			d := s.open("p", popeye.Change)
			s.record(first(d, 1, 0))
			s.record(nth(d, 1, 3, 0))
			s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 3})
		}},
		{"a multiple-choice vote changes as a whole", func(s suite) {
			p := poll("p", popeye.Change, 4)
			p.Kind, p.Max = popeye.Multiple, 4
			d := s.create(p, popeye.Open)
			s.record(first(d, 1, 0, 1, 2), first(d, 2, 0, 3))
			s.record(nth(d, 1, 2, 2, 3))
			s.expect("p", counts{votes: []int64{1, 0, 1, 2}, total: 2, stored: 3})
		}},
		{"new voters and changed votes share a batch", func(s suite) {
			d := s.open("p", popeye.Change)
			s.record(first(d, 1, 0), first(d, 2, 0), first(d, 3, 0))
			s.record(nth(d, 1, 2, 1), first(d, 2, 0), first(d, 4, 2), first(d, 5, 2), nth(d, 6, 2, 2))
			s.expect("p", counts{votes: []int64{2, 1, 3}, total: 6, stored: 8})
		}},
	}
}

// highestStands delivers three votes of one voter in every order, one by one,
// in pairs and all at once.
func highestStands(s suite) {
	d := s.open("p", popeye.Change)
	orders := [][]int64{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}}
	splits := [][]int{{1, 1, 1}, {2, 1}, {1, 2}, {3}}
	n := 0
	for _, order := range orders {
		for _, sizes := range splits {
			rest := order
			for _, size := range sizes {
				var batch []popeye.Vote
				for _, serial := range rest[:size] {
					batch = append(batch, nth(d, n, serial, int(serial-1)))
				}
				rest = rest[size:]
				s.record(batch...)
			}
			n++
			s.expect("p", counts{votes: []int64{0, 0, int64(n)}, total: int64(n), stored: 3 * int64(n)})
		}
	}
}
