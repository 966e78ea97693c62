package redis

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"popeye"
)

// claimedAtATime is how many entries are looked at in one call for those that
// somebody holds for too long.
const claimedAtATime = 100

// readNew takes up to count entries that no consumer has got yet. If it may wait,
// the server does so for a moment. The end of ctx does not end it: what a server
// has handed out has to arrive.
func (s *Server) readNew(ctx context.Context, consumer string, count int, mayWait bool) ([]entry, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), blockFor+s.cfg.Timeout)
	defer cancel()
	streams, err := s.client.Do(ctx, s.readCommand(consumer, count, mayWait)).AsXRead()
	switch {
	case isNil(err):
		return nil, nil
	case isNoGroup(err):
		return nil, s.makeGroup(ctx)
	case err != nil:
		return nil, s.failed("take votes", err)
	}
	return entriesOf(streams[keyVotes]), nil
}

func (s *Server) readCommand(consumer string, count int, mayWait bool) rueidis.Completed {
	read := s.client.B().Xreadgroup().Group(groupName, consumer).Count(int64(count))
	if mayWait {
		return read.Block(blockFor.Milliseconds()).Streams().Key(keyVotes).Id(">").Build()
	}
	return read.Streams().Key(keyVotes).Id(">").Build()
}

// isNoGroup reports whether the server has no group: nothing was published there
// yet, or it has lost its data.
func isNoGroup(err error) bool {
	refusal, ok := rueidis.IsRedisErr(err)
	return ok && strings.HasPrefix(refusal.Error(), "NOGROUP")
}

func (s *Server) makeGroup(ctx context.Context) error {
	err := s.client.Do(ctx, s.client.B().XgroupCreate().Key(keyVotes).Group(groupName).Id("0").Mkstream().Build()).Error()
	if refusal, ok := rueidis.IsRedisErr(err); ok && refusal.IsBusyGroup() {
		return nil
	}
	if err != nil {
		return s.failed("make the group of workers", err)
	}
	return nil
}

// takeSeals takes seals that are due, and learns the identity of the server's
// data. With other data, batches are counted anew.
func (c *Consumer) takeSeals(ctx context.Context, most int) error {
	args := []string{strconv.FormatInt(c.server.cfg.Lease.Microseconds(), 10), newIdentity(), strconv.Itoa(most)}
	found, err := c.server.run(ctx, c.server.scripts.seals, oneSlot(), args).AsStrSlice()
	if err == nil && len(found)%2 == 0 {
		err = errMalformed
	}
	if err != nil {
		return c.server.failed("ask for seals", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if found[0] != c.identity {
		c.identity, c.batch, c.acked, c.noted = found[0], 0, 0, 0
	}
	for i := 1; i < len(found); i += 2 {
		round, err := strconv.ParseInt(found[i], 10, 64)
		if err != nil {
			return c.server.failed("ask for seals", errMalformed)
		}
		c.hand.first = append(c.hand.first, popeye.Delivery{ID: sealID(found[i], found[i+1]), Seal: round})
	}
	return nil
}

// claim takes over what somebody holds for longer than the lease. The end of ctx
// does not end it, see readNew.
func (c *Consumer) claim(ctx context.Context) error {
	s := c.server
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
	defer cancel()
	c.mu.Lock()
	args := []string{c.name, inMilliseconds(s.cfg.Lease), strconv.Itoa(claimedAtATime), formats, c.cursor}
	c.mu.Unlock()
	parts, err := s.run(ctx, s.scripts.claim, oneSlot(), args).ToArray()
	if isNoGroup(err) {
		return s.makeGroup(ctx)
	}
	if err == nil && len(parts) != 2 {
		err = errMalformed
	}
	if err != nil {
		return s.failed("claim votes", err)
	}
	cursor, err := parts[0].ToString()
	if err != nil {
		return s.failed("claim votes", err)
	}
	claimed, err := parts[1].AsXRange()
	if err != nil {
		return s.failed("claim votes", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cursor = cursor
	c.hand.add(entriesOf(claimed))
	return nil
}

// sealID names one handing out of a seal.
func sealID(round, token string) string { return "seal:" + round + ":" + token }

// tokenOf reads what sealID has written.
func tokenOf(id string) string { return id[strings.LastIndexByte(id, ':')+1:] }
