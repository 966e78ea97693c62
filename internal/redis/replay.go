package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"popeye"
)

// entriesAtATime is how many entries of the stream are read in one call.
const entriesAtATime = 100

// Position returns the position of what was taken since then.
func (s *Server) Position(since time.Time) string {
	return strconv.FormatInt(max(since.UnixMilli(), 0), 10) + "-0"
}

// Replay passes on, in portions, every vote from a position on that the stream
// still has and that a worker was given, acknowledged or not: recording one twice
// changes nothing. It ends with the first error of do. When all is passed on,
// closed rounds get their seals again, for what was made of them may be lost too.
func (s *Server) Replay(ctx context.Context, from string, do func(context.Context, []popeye.Vote) error) error {
	given, err := s.given(ctx)
	if err != nil {
		return err
	}
	err = s.walk(ctx, orElse(from, "-"), given, func(ds []popeye.Delivery) error {
		votes := make([]popeye.Vote, len(ds))
		for i, d := range ds {
			votes[i] = d.Vote
		}
		return do(ctx, votes)
	})
	if err != nil {
		return err
	}
	if err := s.run(ctx, s.scripts.reseal, oneSlot(), nil).Error(); err != nil {
		return s.failed("make the seals due again", err)
	}
	return nil
}

// Scan passes on, in portions, every vote that the stream has, acknowledged,
// pending or not yet delivered. It ends with the first error of do. Entries in a
// format that cannot be read are passed over.
func (s *Server) Scan(ctx context.Context, do func([]popeye.Delivery) error) error {
	last, err := s.entries(ctx, s.client.B().Xrevrange().Key(keyVotes).End("+").Start("-").Count(1).Build())
	if err != nil || len(last) == 0 {
		return err
	}
	return s.walk(ctx, "-", last[0].position, do)
}

// given returns the position up to which workers were given entries.
func (s *Server) given(ctx context.Context) (string, error) {
	groups, err := s.client.Do(ctx, s.client.B().XinfoGroups().Key(keyVotes).Build()).ToArray()
	if refusal, ok := rueidis.IsRedisErr(err); ok && strings.Contains(refusal.Error(), "no such key") {
		return "0-0", nil
	}
	if err != nil {
		return "", s.failed("ask how far workers have come", err)
	}
	for _, g := range groups {
		fields, err := g.AsMap()
		if err != nil {
			return "", s.failed("ask how far workers have come", err)
		}
		name, last := fields["name"], fields["last-delivered-id"]
		if n, err := name.ToString(); err == nil && n == groupName {
			return last.ToString()
		}
	}
	return "0-0", nil
}

// walk passes on what readable entries from one position to another hold.
func (s *Server) walk(ctx context.Context, from, to string, do func([]popeye.Delivery) error) error {
	for {
		entries, err := s.entries(ctx, s.client.B().Xrange().Key(keyVotes).Start(from).End(to).Count(entriesAtATime).Build())
		if err != nil {
			return err
		}
		var ds []popeye.Delivery
		for _, e := range entries {
			from = "(" + e.position
			if e.isReadable() {
				ds = e.deliveries(ds)
			}
		}
		if len(ds) > 0 {
			if err := do(ds); err != nil {
				return err
			}
		}
		if len(entries) < entriesAtATime {
			return nil
		}
	}
}

func (s *Server) entries(ctx context.Context, command rueidis.Completed) ([]entry, error) {
	found, err := s.client.Do(ctx, command).AsXRange()
	if err != nil {
		return nil, s.failed("read the stream", err)
	}
	return entriesOf(found), nil
}
