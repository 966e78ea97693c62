package sqlite

import (
	"bytes"
	"context"
	"database/sql"
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
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		old, err := current(ctx, tx, p.ID)
		if errors.Is(err, popeye.ErrNotFound) {
			created = true
			d, err = s.create(ctx, tx, p, first)
			return err
		}
		if err != nil {
			return err
		}
		d, err = s.update(ctx, tx, &old, p)
		return err
	})
	if err != nil {
		return popeye.Definition{}, false, fmt.Errorf("apply poll %s: %w", p.ID, err)
	}
	return d, created, nil
}

func (s *Store) create(ctx context.Context, tx *sql.Tx, p popeye.Poll, first popeye.State) (popeye.Definition, error) {
	var before popeye.Tally
	if err := tx.QueryRowContext(ctx, "SELECT version FROM high_water").Scan(&before.Version); err != nil {
		return popeye.Definition{}, fmt.Errorf("read the highest version: %w", err)
	}
	before.Definition.Version = before.Version
	return s.saveInNewRound(ctx, tx, &before, popeye.Definition{Poll: p, State: first})
}

func (s *Store) update(ctx context.Context, tx *sql.Tx, old *popeye.Tally, p popeye.Poll) (popeye.Definition, error) {
	same, err := samePoll(old.Poll, p)
	if err != nil || same {
		return old.Definition, err
	}
	d := old.Definition
	d.Poll = p
	if old.SameBallot(p) {
		return s.save(ctx, tx, old, d)
	}
	if old.Total > 0 {
		return d, fmt.Errorf("%w: its options and rules cannot change after somebody has voted; "+
			"begin a new round and close it before you apply this, or choose another id", popeye.ErrExists)
	}
	if old.State != popeye.Final && old.StateAt(s.now().Add(onTheWay)) != popeye.Draft {
		return d, fmt.Errorf("%w: its options and rules cannot change while somebody may be voting; "+
			"close it before you apply this, and open it again", popeye.ErrExists)
	}
	return s.restart(ctx, tx, old, d)
}

// onTheWay is how long before its opening a round is left alone: what a queue
// knows of it may be that old.
const onTheWay = time.Minute

// Open lets the poll take votes from now on, whatever times stand against it.
// After a close it goes on in a new round, without the votes of the old one.
func (s *Store) Open(ctx context.Context, id string) (d popeye.Definition, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		old, err := current(ctx, tx, id)
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
			d, err = s.restart(ctx, tx, &old, d)
		} else {
			d, err = s.save(ctx, tx, &old, d)
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
func (s *Store) restart(ctx context.Context, tx *sql.Tx, old *popeye.Tally, d popeye.Definition) (popeye.Definition, error) {
	if _, err := tx.ExecContext(ctx, "UPDATE rounds SET state = ? WHERE round = ? AND state <> ?",
		popeye.Closed, old.Round, popeye.Final); err != nil {
		return d, fmt.Errorf("close round %d: %w", old.Round, err)
	}
	return s.saveInNewRound(ctx, tx, old, d)
}

func (s *Store) saveInNewRound(ctx context.Context, tx *sql.Tx, old *popeye.Tally, d popeye.Definition) (popeye.Definition, error) {
	d.VoterKey, d.Incomplete = s.voterKey, false
	err := tx.QueryRowContext(ctx, `INSERT INTO rounds (poll, state, policy, options, voter_key, shown)
		VALUES (?, ?, ?, ?, ?, 0) RETURNING round`, d.ID, d.State, d.Policy, len(d.Options), d.VoterKey).Scan(&d.Round)
	if err != nil {
		return d, fmt.Errorf("add a round: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO tallies (round, option)
		WITH RECURSIVE option (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM option WHERE i + 1 < ?2)
		SELECT ?1, i FROM option`, d.Round, len(d.Options)); err != nil {
		return d, fmt.Errorf("add its tallies: %w", err)
	}
	// Votes may have come before their round, where a lost store was set up anew.
	if _, err := tx.ExecContext(ctx, "UPDATE rounds SET rejected = (SELECT count(*) FROM parked WHERE round = ?1) WHERE round = ?1", d.Round); err != nil {
		return d, fmt.Errorf("add its rejected votes: %w", err)
	}
	return s.save(ctx, tx, old, d)
}

// save writes d as what follows old, and returns it with its new version.
func (s *Store) save(ctx context.Context, tx *sql.Tx, old *popeye.Tally, d popeye.Definition) (popeye.Definition, error) {
	d.Version = s.nextVersion(old.Definition.Version)
	text, err := json.Marshal(d.Poll)
	if err != nil {
		return d, fmt.Errorf("encode the poll: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO polls (id, round, version, definition) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET round = excluded.round, version = excluded.version, definition = excluded.definition`,
		d.ID, d.Round, d.Version, string(text)); err != nil {
		return d, fmt.Errorf("write the poll: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE rounds SET state = ?, shown = ? WHERE round = ?",
		d.State, s.nextVersion(old.Version), d.Round); err != nil {
		return d, fmt.Errorf("write the round: %w", err)
	}
	return d, nil
}

func samePoll(p, q popeye.Poll) (bool, error) {
	a, errA := json.Marshal(p)
	b, errB := json.Marshal(q)
	return bytes.Equal(a, b), errors.Join(errA, errB)
}
