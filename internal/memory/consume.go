package memory

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"popeye"
)

// lookUpFor bounds one call of QueueConfig.Marks.
const lookUpFor = 10 * time.Second

// marksOf are the marks of a batch's voters, by round.
type marksOf map[int64]map[popeye.Voter]popeye.Mark

// Receive returns between one and most deliveries, votes before seals, and at
// most one vote of each voter and round. It blocks until there is one or ctx is
// done, then with ctx.Err(). What it returns is the caller's to Ack or to
// Release, all of it and in any portions.
//
// Casts that need no recording (repeated, already, conflict) are answered here
// and never delivered. Where the marks cannot be looked up, the casts that
// needed them are answered popeye.ErrUnavailable and the error is returned.
func (q *Queue) Receive(ctx context.Context, most int) ([]popeye.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch := q.take(max(most, 1))
		marks, err := q.lookUp(ctx, batch)
		if err != nil {
			q.refuse(batch, err)
			return nil, err
		}
		if deliveries := q.decide(batch, marks, max(most, 1)); len(deliveries) > 0 {
			return deliveries, nil
		}
		select {
		case <-q.ready:
		case <-q.gone:
			return nil, errShut
		case <-ctx.Done():
		}
	}
}

// Ack says that the deliveries are recorded: their casters are answered, and
// none of them is delivered again. What was settled already is passed over. It
// returns nil always.
func (q *Queue) Ack(_ context.Context, deliveries []popeye.Delivery) error {
	q.mu.Lock()
	settled := make([]*pending, 0, len(deliveries))
	for _, d := range deliveries {
		if d.Seal != 0 {
			q.settleSeal(d, sealed)
			continue
		}
		p := q.held(d)
		if p == nil {
			continue
		}
		if q.remembers {
			p.round.marks[p.cast.Voter] = p.answer.Mark
		}
		settled = q.settle(settled, p, &p.answer.Mark)
	}
	q.mu.Unlock()
	q.casts.tell(settled)
	return nil
}

// Release says that the deliveries were not recorded, as far as is known, and
// why: the casters of votes are answered popeye.ErrUnavailable and may try
// again, seals are delivered again. It returns nil always.
func (q *Queue) Release(_ context.Context, deliveries []popeye.Delivery, cause error) error {
	failed := fmt.Errorf("%w: %w", popeye.ErrUnavailable, cause)
	q.mu.Lock()
	settled := make([]*pending, 0, len(deliveries))
	for _, d := range deliveries {
		if d.Seal != 0 {
			q.settleSeal(d, sealDue)
			continue
		}
		if p := q.held(d); p != nil {
			p.err = failed
			settled = q.settle(settled, p, nil)
		}
	}
	q.mu.Unlock()
	q.casts.tell(settled)
	return nil
}

// take removes up to most casts from the line.
func (q *Queue) take(most int) []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.line.first == nil {
		return nil
	}
	batch := make([]*pending, 0, min(most, q.waiting))
	for len(batch) < most {
		p := q.line.first
		if p == nil {
			return batch
		}
		q.leave(p)
		batch = append(batch, p)
	}
	q.wake() // there may be more, for another worker
	return batch
}

// lookUp asks for the marks of all voters of the batch, once per round. The end
// of ctx does not end it: casts once taken are seen through.
func (q *Queue) lookUp(ctx context.Context, batch []*pending) (marksOf, error) {
	if len(batch) == 0 {
		return nil, nil //nolint:nilnil // reading from a nil map is what the caller does
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookUpFor)
	defer cancel()
	voters := make(map[int64][]popeye.Voter, 1)
	for _, p := range batch {
		voters[p.cast.Round] = append(voters[p.cast.Round], p.cast.Voter)
	}
	marks := make(marksOf, len(voters))
	for round, vs := range voters {
		found, err := q.marks(ctx, round, vs)
		if err != nil {
			return nil, fmt.Errorf("look up the marks of %d voters: %w", len(vs), err)
		}
		marks[round] = found
	}
	return marks, nil
}

// refuse settles casts whose marks could not be looked up.
func (q *Queue) refuse(batch []*pending, cause error) {
	failed := fmt.Errorf("%w: %w", popeye.ErrUnavailable, cause)
	q.mu.Lock()
	settled := make([]*pending, 0, len(batch))
	for _, p := range batch {
		if !p.settled {
			p.err = failed
			settled = q.settle(settled, p, nil)
		}
	}
	q.mu.Unlock()
	q.casts.tell(settled)
}

// decide turns the taken casts into answers and deliveries, and adds the seals
// that can be handed out, to at most most deliveries.
func (q *Queue) decide(batch []*pending, marks marksOf, most int) []popeye.Delivery {
	q.mu.Lock()
	var settled []*pending
	deliveries := make([]popeye.Delivery, 0, len(batch))
	for _, p := range batch {
		if p.settled { // Close came first
			continue
		}
		standing, needed := p.decide(marks)
		if !needed {
			settled = q.settle(settled, p, standing)
			continue
		}
		p.id = q.name()
		vote := p.cast.Vote
		vote.Serial = p.answer.Mark.Serial
		deliveries = append(deliveries, popeye.Delivery{ID: p.id, Vote: vote})
	}
	deliveries = q.handOutSeals(deliveries, most)
	q.mu.Unlock()
	q.casts.tell(settled)
	return deliveries
}

// decide sets the cast's answer, or its error, and reports whether the vote
// needs recording. If not, it returns the mark that stands, where it is known.
func (p *pending) decide(marks marksOf) (standing *popeye.Mark, needed bool) {
	if p.abandoned {
		return nil, false
	}
	if p.round.deleted {
		p.err = fmt.Errorf("round %d: %w", p.cast.Round, popeye.ErrNotFound)
		return nil, false
	}
	m, voted := marks[p.cast.Round][p.cast.Voter]
	if !voted {
		p.answer = p.cast.Begin()
		return nil, true
	}
	p.answer = m.Decide(p.round.definition.Policy, p.cast)
	return &p.answer.Mark, p.answer.Mark != m
}

// held returns the cast that was delivered as d, or nil when it is settled.
func (q *Queue) held(d popeye.Delivery) *pending {
	r := q.rounds[d.Vote.Round]
	if r == nil {
		return nil
	}
	p := r.underway[d.Vote.Voter]
	if p == nil || p.id == "" || p.id != d.ID {
		return nil
	}
	return p
}

// name returns a name that no other delivery has.
func (q *Queue) name() string {
	q.deliveries++
	return strconv.FormatUint(q.deliveries, 36)
}
