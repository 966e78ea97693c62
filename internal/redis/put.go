package redis

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"popeye"
)

// The letters with which the cast script answers.
const (
	letterAccepted = 'a'
	letterChanged  = 'g'
	letterRepeated = 'r'
	letterAlready  = 'y'
	letterConflict = 'x'
	letterUnknown  = 'u'
	letterClosed   = 'c'
	letterFull     = 'f'
)

var errOutOfBounds = errors.New("its stamps and its serial have to be from 0 to 2^53 - 1, and to 2^48 - 1")

// Put has the server decide a cast, as popeye.Mark.Decide and popeye.Cast.Begin
// say. Nil means that what the answer shows is on the server's disk. It may be
// called again with the same cast, whatever it returned: that changes nothing.
// It waits no longer than within.
//
// It fails with popeye.ErrNotFound when the server does not know the round,
// popeye.ErrClosed when the round takes no votes by the server's clock,
// popeye.ErrFull when the server's memory is short (a cast that brings nothing new
// is answered even then), and popeye.ErrUnavailable otherwise: then the vote may
// be there all the same.
func (s *Server) Put(ctx context.Context, c popeye.Cast, within time.Duration) (popeye.Answer, error) {
	if err := ctx.Err(); err != nil {
		return popeye.Answer{}, fmt.Errorf("%w: %w", popeye.ErrUnavailable, context.Cause(ctx))
	}
	text, err := textOf(c)
	if err != nil {
		return popeye.Answer{}, fmt.Errorf("a cast for queue server %s: %w", s.cfg.Place, err)
	}
	return s.casts.put(ctx, c, text, within)
}

// Mark returns the vote of a voter that stands on this server, and whether there
// is one.
func (s *Server) Mark(ctx context.Context, round int64, v popeye.Voter) (popeye.Mark, bool, error) {
	text, err := s.run(ctx, s.scripts.mark, []string{roundKey(round)}, []string{string(v[:])}).ToString()
	if isNil(err) {
		return popeye.Mark{}, false, nil
	}
	if err != nil {
		return popeye.Mark{}, false, s.failed("look up a voter's mark", err)
	}
	m, err := parseMark(text)
	if err != nil {
		return popeye.Mark{}, false, fmt.Errorf("a voter's mark on queue server %s: %w", s.cfg.Place, err)
	}
	return m, true, nil
}

// textOf writes a cast as the script reads it.
func textOf(c popeye.Cast) (string, error) {
	begun := c.Begin().Mark
	if outOfBounds(c.After) || outOfBounds(begun.Stamp) || begun.Serial >= 1<<(8*serialLength) {
		return "", errOutOfBounds
	}
	b := make([]byte, 0, 64)
	if c.Copy {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = appendStamp(b, c.After)
	b = append(b, 0)
	length := len(b) - 1
	b = append(b, c.Voter[:]...)
	b = appendMark(b, begun)
	b[length] = byte(len(b) - length - 1)
	return string(b), nil
}

func outOfBounds(s popeye.Stamp) bool { return s < 0 || s > lastStamp }

// send has the server decide casts, in one call.
func (s *Server) send(ctx context.Context, batch []*pending) error {
	inOrder := inRounds(batch)
	keys, args := s.arguments(ctx, inOrder)
	reply, err := s.run(ctx, s.scripts.cast, keys, args).ToString()
	if err != nil {
		return s.failed("cast", err)
	}
	for _, p := range inOrder {
		if reply, err = p.read(reply); err != nil {
			return fmt.Errorf("%w: what the queue server %s says to a cast: %w", popeye.ErrUnavailable, s.cfg.Place, err)
		}
	}
	return nil
}

// inRounds returns the casts round by round, those of a round in their order.
func inRounds(batch []*pending) []*pending {
	byRound := func(a, b *pending) int { return cmp.Compare(a.cast.Round, b.cast.Round) }
	if slices.IsSortedFunc(batch, byRound) {
		return batch
	}
	batch = slices.Clone(batch)
	slices.SortStableFunc(batch, byRound)
	return batch
}

// arguments are those of the script for casts that are in order.
func (s *Server) arguments(ctx context.Context, batch []*pending) (keys, args []string) {
	head := make([]byte, 1, 16)
	if s.room.isThere(ctx) {
		head[0] = 1
	}
	args = make([]string, 1, 1+len(batch))
	for i, p := range batch {
		if i == 0 || p.cast.Round != batch[i-1].cast.Round {
			keys = append(keys, roundKey(p.cast.Round))
			head = binary.BigEndian.AppendUint64(head, uint64(p.cast.Round))
			head = append(head, 0)
		}
		head[len(head)-1]++
		args = append(args, p.text)
	}
	args[0] = string(head)
	return keys, args
}

// read takes the answer to p from the beginning of the script's reply, and
// returns the rest.
func (p *pending) read(reply string) (rest string, err error) {
	if reply == "" {
		return "", errMalformed
	}
	letter, rest := reply[0], reply[1:]
	switch letter {
	case letterAccepted:
		p.answer = p.cast.Begin()
		return rest, nil
	case letterUnknown:
		p.err = fmt.Errorf("round %d: %w", p.cast.Round, popeye.ErrNotFound)
		return rest, nil
	case letterClosed:
		p.err = fmt.Errorf("round %d: %w", p.cast.Round, popeye.ErrClosed)
		return rest, nil
	case letterFull:
		p.err = fmt.Errorf("too much of the queue server's memory is in use: %w", popeye.ErrFull)
		return rest, nil
	}
	outcome, err := outcomeOf(letter)
	if err != nil || rest == "" || len(rest) < 1+int(rest[0]) {
		return "", errMalformed
	}
	p.answer.Outcome = outcome
	p.answer.Mark, err = parseMark(rest[1 : 1+int(rest[0])])
	return rest[1+int(rest[0]):], err
}

func outcomeOf(letter byte) (popeye.Outcome, error) {
	switch letter {
	case letterChanged:
		return popeye.Changed, nil
	case letterRepeated:
		return popeye.Repeated, nil
	case letterAlready:
		return popeye.Already, nil
	case letterConflict:
		return popeye.Conflict, nil
	default:
		return "", errMalformed
	}
}
