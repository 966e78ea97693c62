package memory

import (
	"context"

	"popeye"
)

// sealing says how far the seal of a round has come.
type sealing int

const (
	unsealed sealing = iota // the round is not closed
	sealDue                 // it is closed and its seal is to be handed out
	sealOut                 // a worker has the seal
	sealed                  // it is acknowledged, or nobody needs it any more
)

// round is what the queue knows of one round of a poll. It is forgotten when
// it is not its poll's current one and nothing of it is under way.
type round struct {
	definition *popeye.Definition
	// underway holds the first unsettled cast of each voter.
	underway map[popeye.Voter]*pending
	// marks are the acknowledged votes, where the queue remembers them itself.
	marks map[popeye.Voter]popeye.Mark

	sealing sealing
	sealID  string

	// left says that the poll is in another round now or not there any more,
	// deleted the latter.
	left, deleted bool
}

// Publish replaces the definitions by which casts are taken, unless the catalog
// is no newer than the one that is there. Rounds that are closed get their seal
// once, behind every cast taken, and never take votes again, whatever is
// published; polls that are not in the catalog are forgotten. It returns nil
// always.
func (q *Queue) Publish(_ context.Context, next *popeye.Catalog) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if known := q.catalog.Load(); known != nil && next.Version() <= known.Version() {
		return nil
	}
	current := make(map[int64]bool, len(next.All()))
	for _, d := range next.All() {
		current[d.Round] = true
		q.enter(d)
	}
	for number, r := range q.rounds {
		if !current[number] {
			r.left, r.deleted = true, next.Find(r.definition.ID) == nil
		}
		if r.deleted || r.definition.State == popeye.Final {
			r.sealing = sealed
		}
		q.tidy(r)
	}
	q.catalog.Store(next)
	return nil
}

// enter makes d the definition of its round, and has the round sealed when it
// is closed and that was not seen to before.
func (q *Queue) enter(d *popeye.Definition) {
	r := q.rounds[d.Round]
	if r == nil {
		r = &round{underway: make(map[popeye.Voter]*pending), marks: make(map[popeye.Voter]popeye.Mark)}
		if q.over[d.Round] {
			r.sealing = sealed
		}
		q.rounds[d.Round] = r
	}
	r.definition, r.left, r.deleted = d, false, false
	if d.State == popeye.Closed && r.sealing == unsealed {
		r.sealing = sealDue
		q.due = append(q.due, r)
	}
}

// handOutSeals adds the seals of closed rounds of which no cast is under way,
// up to most deliveries in all.
func (q *Queue) handOutSeals(deliveries []popeye.Delivery, most int) []popeye.Delivery {
	var later []*round
	for _, r := range q.due {
		if r.sealing != sealDue {
			continue
		}
		if len(r.underway) > 0 || len(deliveries) >= most {
			later = append(later, r)
			continue
		}
		r.sealing, r.sealID = sealOut, q.name()
		deliveries = append(deliveries, popeye.Delivery{ID: r.sealID, Seal: r.definition.Round})
	}
	q.due = later
	return deliveries
}

// settleSeal ends the delivery d of a seal: it is acknowledged, or due again.
func (q *Queue) settleSeal(d popeye.Delivery, to sealing) {
	r := q.rounds[d.Seal]
	if r == nil || r.sealing != sealOut || r.sealID != d.ID {
		return
	}
	r.sealing = to
	if to == sealDue {
		q.due = append(q.due, r)
	}
	q.tidy(r)
}

// tidy does what is to be done once no cast of a round is under way: it lets
// the seal be received if it is due, or forgets the round if its poll left it.
func (q *Queue) tidy(r *round) {
	if len(r.underway) > 0 {
		return
	}
	switch {
	case r.sealing == sealDue:
		q.wake()
	case r.left && r.sealing != sealOut:
		if r.sealing == sealed {
			q.over[r.definition.Round] = true
		}
		delete(q.rounds, r.definition.Round)
	}
}

// remembered is QueueConfig.Marks where none is given.
func (q *Queue) remembered(_ context.Context, round int64, voters []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	found := make(map[popeye.Voter]popeye.Mark)
	if r := q.rounds[round]; r != nil {
		for _, v := range voters {
			if m, ok := r.marks[v]; ok {
				found[v] = m
			}
		}
	}
	return found, nil
}
