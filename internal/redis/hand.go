package redis

import "popeye"

// hand is what a consumer has in hand: votes of entries of which at least one is
// not recorded, and seals.
type hand struct {
	// held are the entries, by position.
	held map[string]*holding
	// first are to be dealt before anything else, fresh were not dealt yet.
	first, fresh []popeye.Delivery
	// dry: when fresh was last added to, there was no more to be had.
	dry bool
	// perEntry is about how many votes an entry has.
	perEntry int
}

// holding is an entry of which left votes are not recorded.
type holding struct {
	settled []bool
	left    int
}

func newHand() hand { return hand{held: make(map[string]*holding), perEntry: 1} }

// deal removes and returns up to most deliveries. Fresh ones wait until they fill
// a batch, or there is no more to be had.
func (h *hand) deal(most int) []popeye.Delivery {
	switch {
	case len(h.first) > 0:
		return take(&h.first, most)
	case len(h.fresh) >= most || h.dry:
		return take(&h.fresh, most)
	default:
		return nil
	}
}

func take(from *[]popeye.Delivery, most int) []popeye.Delivery {
	n := min(len(*from), most)
	ds := (*from)[:n:n]
	*from = (*from)[n:]
	return ds
}

// wants returns how many entries to read for a batch.
func (h *hand) wants(most int) int {
	missing := most - len(h.fresh)
	if missing <= 0 {
		return 0
	}
	return max(1, missing/h.perEntry)
}

// add takes entries into the hand. Those that cannot be read stay pending in
// Redis, for a newer worker. Those held already stay as they are.
func (h *hand) add(entries []entry) {
	before := len(h.fresh)
	for _, e := range entries {
		if !e.isReadable() || h.held[e.position] != nil {
			continue
		}
		n := len(h.fresh)
		h.fresh = e.deliveries(h.fresh)
		n = len(h.fresh) - n
		h.held[e.position] = &holding{settled: make([]bool, n), left: n}
	}
	if n := len(h.fresh) - before; n > 0 {
		h.perEntry = max(1, n/len(entries))
	}
}

// settle notes that a vote is recorded. It returns its entry, and whether all
// votes of that are recorded now.
func (h *hand) settle(d popeye.Delivery) (position string, done bool) {
	position, index, e := h.find(d)
	if e == nil || e.settled[index] {
		return "", false
	}
	e.settled[index] = true
	e.left--
	if e.left > 0 {
		return "", false
	}
	delete(h.held, position)
	return position, true
}

// release takes back what was dealt and is not settled.
func (h *hand) release(ds []popeye.Delivery) {
	for _, d := range ds {
		_, index, e := h.find(d)
		if d.Seal != 0 || e != nil && !e.settled[index] {
			h.first = append(h.first, d)
		}
	}
}

// find returns the entry of a vote, nil when it is not held, and the vote's
// number there.
func (h *hand) find(d popeye.Delivery) (position string, index int, e *holding) {
	position, index, ok := placeOf(d.ID)
	if !ok {
		return "", 0, nil
	}
	e = h.held[position]
	if e == nil || index >= len(e.settled) {
		return "", 0, nil
	}
	return position, index, e
}
