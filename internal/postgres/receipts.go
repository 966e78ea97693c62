package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"popeye"
)

// Find tells what became of the vote with this receipt, in lower or upper case.
// It fails with popeye.ErrNotFound where there is none, or no such receipt can
// be. It costs two look-ups for each round that there is.
func (s *Store) Find(ctx context.Context, receipt string) (popeye.Finding, error) {
	from, to, ok := span(receipt)
	if !ok || len(receipt) != receiptLength {
		return popeye.Finding{}, fmt.Errorf("find a receipt: %w", popeye.ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var f popeye.Finding
	err := s.read(ctx, func(ctx context.Context) (err error) {
		f, err = s.find(ctx, from, to)
		return err
	})
	if err != nil {
		return popeye.Finding{}, fmt.Errorf("find a receipt: %w", unavailable(err))
	}
	return f, nil
}

func (s *Store) find(ctx context.Context, from, to popeye.Voter) (popeye.Finding, error) {
	f := popeye.Finding{Fate: popeye.Counted}
	var stamp int64
	err := s.pool.QueryRow(ctx, `SELECT r.poll, v.round, v.stamp FROM rounds r CROSS JOIN LATERAL (
			SELECT round, stamp FROM votes WHERE round = r.round AND voter BETWEEN $1 AND $2 LIMIT 1
		) AS v WHERE r.poll IS NOT NULL LIMIT 1`, [16]byte(from), [16]byte(to)).Scan(&f.Poll, &f.Round, &stamp)
	if errors.Is(err, pgx.ErrNoRows) {
		f.Fate = popeye.Rejected
		// Parked votes may be of rounds that never were: theirs are looked for in the
		// key, one step for each round.
		err = s.pool.QueryRow(ctx, `WITH RECURSIVE parked_rounds (round) AS (
				SELECT min(round) FROM parked
				UNION ALL SELECT (SELECT min(k.round) FROM parked k WHERE k.round > p.round) FROM parked_rounds p WHERE p.round IS NOT NULL
			) SELECT coalesce(r.poll, ''), k.round, k.stamp, k.reason FROM parked_rounds p CROSS JOIN LATERAL (
				SELECT round, stamp, reason FROM parked WHERE round = p.round AND voter BETWEEN $1 AND $2 ORDER BY voter, stamp LIMIT 1
			) AS k LEFT JOIN rounds r ON r.round = k.round LIMIT 1`, [16]byte(from), [16]byte(to)).
			Scan(&f.Poll, &f.Round, &stamp, &f.Reason)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = popeye.ErrNotFound
	}
	f.Cast = time.UnixMicro(stamp).UTC()
	return f, err
}

const (
	// receiptLength is how many characters a receipt has, and receiptBytes how many
	// bytes of the pseudonym they show.
	receiptLength = 16
	receiptBytes  = 10
	// receiptDigits are those of a receipt in their alphabetical order, which is
	// not that of the pseudonyms: digits come before letters.
	receiptDigits = "234567ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// span returns the first and the last pseudonym whose receipt begins like this.
func span(prefix string) (from, to popeye.Voter, ok bool) {
	missing := receiptLength - len(prefix)
	if missing < 0 {
		return from, to, false
	}
	prefix = strings.ToUpper(prefix)
	first, errFirst := base32.StdEncoding.DecodeString(prefix + strings.Repeat("A", missing))
	last, errLast := base32.StdEncoding.DecodeString(prefix + strings.Repeat("7", missing))
	if errFirst != nil || errLast != nil || len(first) != receiptBytes {
		return from, to, false // one that ends with padding is shorter
	}
	copy(from[:], first)
	for i := copy(to[:], last); i < len(to); i++ {
		to[i] = 0xff
	}
	return from, to, true
}

// Receipts calls do with the receipt of each vote counted in a poll's current
// round, in their alphabetical order. It fails with popeye.ErrNotFound, with
// popeye.ErrExists while the round is not final, and with what do returns.
func (s *Store) Receipts(ctx context.Context, poll string, do func(receipt string) error) error {
	t, err := s.Tally(ctx, poll)
	if err == nil && t.State != popeye.Final {
		err = fmt.Errorf("%w: not final yet", popeye.ErrExists)
	}
	var listed int64
	if err == nil {
		err = eachReceipt(ctx, s.pool, t.Round, t.Total, func(receipt string) error {
			listed++
			return do(receipt)
		})
	}
	if err == nil && listed != t.Total {
		err = fmt.Errorf("%w any more: it was deleted meanwhile", popeye.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("list the receipts of poll %s: %w", poll, err)
	}
	return nil
}

// Certify hashes the receipts of every final round for which that was not done
// yet: see popeye.Tally.ReceiptsHash. Nothing waits for it. What another process
// is hashing is left to it.
func (s *Store) Certify(ctx context.Context) error {
	rounds, err := s.uncertified(ctx)
	if err != nil {
		return fmt.Errorf("look for rounds to certify: %w", unavailable(err))
	}
	for _, round := range rounds {
		// A transaction only for the lock: it reads in small steps, and neither
		// keeps old rows alive in between nor holds anything that others wait for.
		err := s.inTx(ctx, func(tx pgx.Tx) error { return s.certify(ctx, tx, round) })
		if err != nil {
			return fmt.Errorf("certify round %d: %w", round, unavailable(err))
		}
	}
	return nil
}

const selectUncertified = "SELECT round FROM rounds WHERE state = 'final' AND receipts_hash = '' AND poll IS NOT NULL"

func (s *Store) uncertified(ctx context.Context) (rounds []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.read(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, selectUncertified+" ORDER BY round")
		if err != nil {
			return err
		}
		rounds, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	return rounds, err
}

// certifyLock stands for hashing a round, together with its number.
const certifyLock = 0x506f7065

func (s *Store) certify(ctx context.Context, tx pgx.Tx, round int64) error {
	var locked bool
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, $2::bigint::bit(32)::int)", certifyLock, round).Scan(&locked); err != nil || !locked {
		return err
	}
	var total int64
	err := tx.QueryRow(ctx, "SELECT total FROM ledgers WHERE round IN ("+selectUncertified+" AND round = $1)", round).Scan(&total)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // done meanwhile
	}
	if err != nil {
		return err
	}
	hash := sha256.New()
	if err := eachReceipt(ctx, tx, round, total, func(receipt string) error {
		_, err := hash.Write(append([]byte(receipt), '\n'))
		return err
	}); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE ledgers SET shown = greatest(shown + 1, $2) WHERE round = $1", round, s.now().UnixMilli()); err != nil {
		return err
	}
	// Votes only go after their poll: where it is still there, none was missing.
	_, err = tx.Exec(ctx, "UPDATE rounds SET receipts_hash = $2 WHERE round = $1 AND poll IS NOT NULL", round, hex.EncodeToString(hash.Sum(nil)))
	return err
}

// eachReceipt calls do with the receipts of a round, of which there are total, in
// their alphabetical order. It holds some thousands of them at a time, those that
// begin with the same characters.
func eachReceipt(ctx context.Context, from querier, round, total int64, do func(receipt string) error) error {
	for prefix := range prefixes(total) {
		receipts, err := receiptsLike(ctx, from, round, prefix)
		if err != nil {
			return unavailable(err)
		}
		for _, r := range receipts {
			if err := do(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// atOnce is about how many receipts are held at a time.
const atOnce = 20_000

// prefixes yields the beginnings by which so many receipts are divided, in their
// alphabetical order.
func prefixes(total int64) iter.Seq[string] {
	return func(yield func(string) bool) { eachPrefix("", total, yield) }
}

func eachPrefix(prefix string, total int64, yield func(string) bool) bool {
	if total <= atOnce {
		return yield(prefix)
	}
	for _, digit := range receiptDigits {
		if !eachPrefix(prefix+string(digit), total/int64(len(receiptDigits)), yield) {
			return false
		}
	}
	return true
}

// receiptsLike returns the receipts with a prefix, sorted.
func receiptsLike(ctx context.Context, from querier, round int64, prefix string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	first, last, _ := span(prefix)
	rows, err := from.Query(ctx, "SELECT voter FROM votes WHERE round = $1 AND voter BETWEEN $2 AND $3",
		round, [16]byte(first), [16]byte(last))
	if err != nil {
		return nil, err
	}
	var voter popeye.Voter
	var receipts []string
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&voter)}, func() error {
		receipts = append(receipts, voter.Receipt())
		return nil
	})
	slices.Sort(receipts)
	return receipts, err
}
