package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"popeye"
)

// Find tells what became of the vote with this receipt, in lower or upper case.
// It fails with popeye.ErrNotFound where there is none, or no such receipt can
// be. It costs two look-ups for each round that there is.
func (s *Store) Find(ctx context.Context, receipt string) (popeye.Finding, error) {
	from, to, ok := span(receipt)
	if !ok {
		return popeye.Finding{}, fmt.Errorf("find a receipt: %w", popeye.ErrNotFound)
	}
	f, err := s.find(ctx, from, to)
	if errors.Is(err, sql.ErrNoRows) {
		return popeye.Finding{}, fmt.Errorf("find a receipt: %w", popeye.ErrNotFound)
	}
	if err != nil {
		return popeye.Finding{}, fmt.Errorf("find a receipt: %w", unavailable(err))
	}
	return f, nil
}

func (s *Store) find(ctx context.Context, from, to popeye.Voter) (popeye.Finding, error) {
	f := popeye.Finding{Fate: popeye.Counted}
	var stamp int64
	err := s.reader.QueryRowContext(ctx, `SELECT r.poll, v.round, v.stamp FROM rounds r
		CROSS JOIN votes v ON v.round = r.round AND v.voter BETWEEN ? AND ? WHERE r.poll IS NOT NULL LIMIT 1`,
		from[:], to[:]).Scan(&f.Poll, &f.Round, &stamp)
	if errors.Is(err, sql.ErrNoRows) {
		f.Fate = popeye.Rejected
		// Parked votes may be of rounds that never were: theirs are looked for in
		// the key, one step for each round.
		err = s.reader.QueryRowContext(ctx, `WITH RECURSIVE parked_rounds (round) AS (
			SELECT min(round) FROM parked
			UNION ALL SELECT (SELECT min(k.round) FROM parked k WHERE k.round > p.round) FROM parked_rounds p WHERE p.round IS NOT NULL)
			SELECT coalesce(r.poll, ''), k.round, k.stamp, k.reason FROM parked_rounds p
			CROSS JOIN parked k ON k.round = p.round AND k.voter BETWEEN ? AND ?
			LEFT JOIN rounds r ON r.round = k.round LIMIT 1`,
			from[:], to[:]).Scan(&f.Poll, &f.Round, &stamp, &f.Reason)
	}
	f.Cast = time.UnixMicro(stamp).UTC()
	return f, err
}

// span returns the first and the last pseudonym with the receipt.
func span(receipt string) (from, to popeye.Voter, ok bool) {
	prefix, err := base32.StdEncoding.DecodeString(strings.ToUpper(receipt))
	if err != nil || len(prefix) != receiptBytes || len(receipt) != receiptLength { // the decoder passes over newlines
		return from, to, false
	}
	copy(from[:], prefix)
	copy(to[:], prefix)
	for i := receiptBytes; i < len(to); i++ {
		to[i] = 0xff
	}
	return from, to, true
}

// A receipt is so many characters, which stand for so many bytes.
const (
	receiptLength = 16
	receiptBytes  = 10
)

// Receipts calls do with the receipt of each vote counted in a poll's current
// round, in their alphabetical order. It fails with popeye.ErrNotFound, with
// popeye.ErrExists while the round is not final, and with what do returns.
func (s *Store) Receipts(ctx context.Context, poll string, do func(receipt string) error) error {
	t, err := current(ctx, s.reader, poll)
	if err == nil && t.State != popeye.Final {
		err = fmt.Errorf("%w: not final yet", popeye.ErrExists)
	}
	var listed int64
	if err == nil {
		err = s.eachReceipt(ctx, t.Round, func(receipt string) error {
			listed++
			return do(receipt)
		})
	}
	if err == nil && listed != t.Total {
		err = fmt.Errorf("%w any more: it was deleted meanwhile", popeye.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("list the receipts of poll %s: %w", poll, unavailable(err))
	}
	return nil
}

// Certify hashes the receipts of every final round for which that was not done
// yet: see popeye.Tally.ReceiptsHash. Nothing waits for it.
func (s *Store) Certify(ctx context.Context) error {
	for {
		var round int64
		err := s.reader.QueryRowContext(ctx, "SELECT round FROM rounds WHERE state = ? AND receipts_hash = '' AND poll IS NOT NULL LIMIT 1",
			popeye.Final).Scan(&round)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for rounds to certify: %w", unavailable(err))
		}
		if err := s.certify(ctx, round); err != nil {
			return fmt.Errorf("certify round %d: %w", round, err)
		}
	}
}

func (s *Store) certify(ctx context.Context, round int64) error {
	hash := sha256.New()
	if err := s.eachReceipt(ctx, round, func(receipt string) error {
		_, err := hash.Write(append([]byte(receipt), '\n'))
		return err
	}); err != nil {
		return unavailable(err)
	}
	// Votes only go after their poll: where it is still there, none was missing.
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE rounds SET receipts_hash = ?, shown = max(shown + 1, ?) WHERE round = ? AND poll IS NOT NULL",
			hex.EncodeToString(hash.Sum(nil)), s.now().UnixMilli(), round)
		return err
	})
}

// eachReceipt calls do with the receipts of a round in their alphabetical order,
// which is not that of the pseudonyms: digits come before letters. It holds a
// thirty-second of them at a time, those with the same first character.
func (s *Store) eachReceipt(ctx context.Context, round int64, do func(receipt string) error) error {
	for _, first := range "234567ABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		from, _, _ := span(string(first) + strings.Repeat("A", 15))
		_, to, _ := span(string(first) + strings.Repeat("7", 15))
		receipts, err := s.receiptsBetween(ctx, round, from, to)
		if err != nil {
			return err
		}
		slices.Sort(receipts)
		for _, r := range receipts {
			if err := do(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) receiptsBetween(ctx context.Context, round int64, from, to popeye.Voter) ([]string, error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT voter FROM votes WHERE round = ? AND voter BETWEEN ? AND ?", round, from[:], to[:])
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	var receipts []string
	for rows.Next() {
		var voter sql.RawBytes
		if err := rows.Scan(&voter); err != nil {
			return nil, err
		}
		receipts = append(receipts, popeye.Voter(voter).Receipt())
	}
	return receipts, rows.Err()
}
