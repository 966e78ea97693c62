package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"popeye"
)

// Apply makes the poll what p says: it creates it in state first, popeye.Draft
// or popeye.Open, or updates it and leaves its state alone; nothing changes
// when nothing differs. It expects what WithDefaults returns and Validate
// allows. A round's ballot never changes: another ballot starts a new round in
// the same state. It fails with popeye.ErrExists when the current round has
// votes, or might get one yet that is on its way: unless it is final, or far
// from open.
func (s *Store) Apply(ctx context.Context, p popeye.Poll, first popeye.State) (d popeye.Definition, created bool, err error) {
	p.Opens, p.Closes = p.Opens.UTC(), p.Closes.UTC()
	err = s.edit(ctx, func(ctx context.Context, e *edit) error {
		old, err := e.current(ctx, p.ID)
		if created = errors.Is(err, popeye.ErrNotFound); created {
			d, err = e.create(ctx, p, first)
			return err
		}
		if err != nil {
			return err
		}
		d, err = e.update(ctx, &old, p)
		return err
	})
	if err != nil {
		return popeye.Definition{}, false, fmt.Errorf("apply poll %s: %w", p.ID, err)
	}
	return d, created, nil
}

func (e *edit) create(ctx context.Context, p popeye.Poll, first popeye.State) (popeye.Definition, error) {
	before := popeye.Tally{Version: e.highWater}
	before.Definition.Version = e.highWater
	return e.saveInNewRound(ctx, &before, popeye.Definition{Poll: p, State: first})
}

func (e *edit) update(ctx context.Context, old *popeye.Tally, p popeye.Poll) (popeye.Definition, error) {
	same, err := samePoll(old.Poll, p)
	if err != nil || same {
		return old.Definition, err
	}
	d := old.Definition
	d.Poll = p
	if old.SameBallot(p) {
		return e.save(ctx, old, d)
	}
	total, err := e.holdTotal(ctx, old.Round)
	if err != nil {
		return d, err
	}
	if total > 0 {
		return d, fmt.Errorf("%w: its options and rules cannot change after somebody has voted; "+
			"begin a new round and close it before you apply this, or choose another id", popeye.ErrExists)
	}
	if old.State != popeye.Final && old.StateAt(e.store.now().Add(onTheWay)) != popeye.Draft {
		return d, fmt.Errorf("%w: its options and rules cannot change while somebody may be voting; "+
			"close it before you apply this, and open it again", popeye.ErrExists)
	}
	return e.restart(ctx, old, d)
}

// onTheWay is how long before its opening a round is left alone: what a queue
// knows of it may be that old.
const onTheWay = time.Minute

// holdTotal returns how many votes a round has, and keeps it so until the edit
// ends.
func (e *edit) holdTotal(ctx context.Context, round int64) (total int64, err error) {
	err = e.QueryRow(ctx, "SELECT total FROM ledgers WHERE round = $1 FOR UPDATE", round).Scan(&total)
	return total, err
}

// Open lets the poll take votes from now on, whatever times stand against it.
// After a close it goes on in a new round, without the votes of the old one.
func (s *Store) Open(ctx context.Context, id string) (d popeye.Definition, err error) {
	err = s.edit(ctx, func(ctx context.Context, e *edit) error {
		old, err := e.current(ctx, id)
		if err != nil {
			return err
		}
		now := s.now()
		if d = old.Definition; d.StateAt(now) == popeye.Open {
			return nil
		}
		over := d.StateAt(now) != popeye.Draft
		d.State = popeye.Open
		if d.Opens.After(now) {
			d.Opens = time.Time{}
		}
		if !d.Closes.After(now) {
			d.Closes = time.Time{}
		}
		if over {
			d, err = e.restart(ctx, &old, d)
		} else {
			d, err = e.save(ctx, &old, d)
		}
		return err
	})
	if err != nil {
		return popeye.Definition{}, fmt.Errorf("open poll %s: %w", id, err)
	}
	return d, nil
}

// restart saves d in a new round and closes the old one: its last votes may
// still come.
func (e *edit) restart(ctx context.Context, old *popeye.Tally, d popeye.Definition) (popeye.Definition, error) {
	if _, err := e.Exec(ctx, "UPDATE rounds SET state = $2 WHERE round = $1 AND state <> $3",
		old.Round, popeye.Closed, popeye.Final); err != nil {
		return d, fmt.Errorf("close round %d: %w", old.Round, err)
	}
	return e.saveInNewRound(ctx, old, d)
}

func (e *edit) saveInNewRound(ctx context.Context, old *popeye.Tally, d popeye.Definition) (popeye.Definition, error) {
	d.Round, d.VoterKey, d.Incomplete = e.newRound(), e.store.voterKey, false
	for _, step := range []struct {
		sql  string
		args []any
	}{
		// The poll itself may come only now: foreign keys are looked at in the end.
		{
			"INSERT INTO rounds (round, poll, state, policy, options, voter_key) VALUES ($1, $2, $3, $4, $5, $6)",
			[]any{d.Round, d.ID, d.State, d.Policy, len(d.Options), d.VoterKey},
		},
		{"INSERT INTO ledgers (round, shown) VALUES ($1, 0)", []any{d.Round}},
		{"INSERT INTO tallies (round, option) SELECT $1, generate_series(0, $2 - 1)", []any{d.Round, len(d.Options)}},
	} {
		if _, err := e.Exec(ctx, step.sql, step.args...); err != nil {
			return d, fmt.Errorf("add round %d: %w", d.Round, err)
		}
	}
	return e.save(ctx, old, d)
}

// save writes d as what follows old, and returns it with its new version.
func (e *edit) save(ctx context.Context, old *popeye.Tally, d popeye.Definition) (popeye.Definition, error) {
	e.changed = true
	d.Version = e.next(old.Definition.Version)
	text, err := json.Marshal(d.Poll)
	if err != nil {
		return d, fmt.Errorf("encode the poll: %w", err)
	}
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{
			`INSERT INTO polls (id, round, version, definition) VALUES ($1, $2, $3, $4)
			ON CONFLICT (id) DO UPDATE SET round = excluded.round, version = excluded.version, definition = excluded.definition`,
			[]any{d.ID, d.Round, d.Version, string(text)},
		},
		{"UPDATE rounds SET state = $2 WHERE round = $1", []any{d.Round, d.State}},
		{"UPDATE ledgers SET shown = greatest(shown + 1, $2) WHERE round = $1", []any{d.Round, e.next(old.Version)}},
	} {
		if _, err := e.Exec(ctx, step.sql, step.args...); err != nil {
			return d, fmt.Errorf("write the poll: %w", err)
		}
	}
	return d, nil
}

func samePoll(p, q popeye.Poll) (bool, error) {
	a, errA := json.Marshal(p)
	b, errB := json.Marshal(q)
	return bytes.Equal(a, b), errors.Join(errA, errB)
}
