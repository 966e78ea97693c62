package redis

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"sync"
	"time"

	"popeye"
)

const (
	// blockFor is how long the server waits for votes before it says that there
	// are none, give or take the tenth of a second at which Redis looks: so long may
	// Receive take to notice that its context has ended, or that a seal is due.
	blockFor = 50 * time.Millisecond
	// claimsPerLease is how often in the time of a lease it is looked for what
	// somebody has held for longer than one.
	claimsPerLease = 5
	// nameLength is how much of a consumer's name is random.
	nameLength = 12
)

// Consumer takes votes from a server, for one worker. It may be used by several
// goroutines; but a store can tell from its batches whether it has lost any only
// if they are recorded in order.
type Consumer struct {
	server *Server
	name   string

	mu   sync.Mutex
	hand hand
	// identity is that of the server's data, for which batches are counted.
	identity string
	// batch is the last one received, acked the last one of which something was
	// acknowledged, noted the last one that the server knows of.
	batch, acked, noted int64
	// owed are the entries that are recorded and not acknowledged yet.
	owed []string
	// looked and claimed are when the server was last asked for seals, and for what
	// somebody holds for too long; cursor is the entry behind which to go on with
	// the latter.
	looked, claimed time.Time
	cursor          string
}

// Consumer returns a new consumer, whose own name begins with the one given and
// is unlike any other.
func (s *Server) Consumer(name string) *Consumer {
	return &Consumer{server: s, name: name + "-" + rand.Text()[:nameLength], hand: newHand()}
}

// Receive returns 1 to most deliveries, which all have the same progress: one
// batch more than the last time. It blocks until there is one or ctx is done, then
// with ctx.Err(). What it returns is the caller's to Ack or to Release, all of it
// and in any portions.
//
// What was released comes first, and nothing is taken from the server meanwhile.
// What is neither acknowledged nor released within the lease is delivered to
// others, too.
func (c *Consumer) Receive(ctx context.Context, most int) ([]popeye.Delivery, error) {
	most = max(most, 1)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ds := c.deal(most); len(ds) > 0 {
			return ds, nil
		}
		err := c.look(ctx, most)
		if err == nil {
			err = c.read(ctx, most)
		}
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
}

// deal hands out what is in hand, as one batch.
func (c *Consumer) deal(most int) []popeye.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	ds := c.hand.deal(most)
	if len(ds) == 0 {
		return nil
	}
	c.batch++
	for i := range ds {
		ds[i].Progress = popeye.Progress{Server: c.identity, Worker: c.name, Batch: c.batch}
	}
	return ds
}

// look asks, when it is time to, for seals that are due and for what somebody
// holds for too long.
func (c *Consumer) look(ctx context.Context, most int) error {
	forSeals, toClaim := c.isTimeToLook(time.Now())
	if forSeals {
		if err := c.takeSeals(ctx, most); err != nil {
			return err
		}
	}
	if !toClaim {
		return nil
	}
	if err := c.Ack(ctx, nil); err != nil { // what is owed
		return err
	}
	return c.claim(ctx)
}

func (c *Consumer) isTimeToLook(now time.Time) (forSeals, toClaim bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) >= blockFor {
		forSeals, c.looked = true, now
	}
	if now.Sub(c.claimed) >= c.server.cfg.Lease/claimsPerLease || c.cursor != "" {
		toClaim, c.claimed = true, now
	}
	return forSeals, toClaim
}

// read takes new entries into the hand. If that is empty, it waits a moment for
// them.
func (c *Consumer) read(ctx context.Context, most int) error {
	c.mu.Lock()
	count, mayWait := c.hand.wants(most), len(c.hand.fresh) == 0 && len(c.hand.first) == 0
	c.mu.Unlock()
	if count == 0 {
		return nil
	}
	entries, err := c.server.readNew(ctx, c.name, count, mayWait)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hand.add(entries)
	c.hand.dry = len(entries) < count
	return nil
}

// Ack says that the deliveries are recorded, and thereby that the store has noted
// their batch. None of them is delivered again; what was acknowledged before is
// passed over. An entry of the stream is acknowledged once all its votes are: if a
// consumer dies before, all of them are delivered again. After a failure, Ack may
// be called again with the same deliveries.
func (c *Consumer) Ack(ctx context.Context, deliveries []popeye.Delivery) error {
	owed, acked, args := c.settle(deliveries)
	if args == nil {
		return nil
	}
	if err := c.server.run(ctx, c.server.scripts.ack, oneSlot(), args).Error(); err != nil {
		return c.server.failed("acknowledge votes", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed = slices.DeleteFunc(c.owed, func(position string) bool { return owed[position] })
	if acked <= c.acked { // or else the server's data are others meanwhile
		c.noted = max(c.noted, acked)
	}
	return nil
}

// settle notes what is recorded. It returns which entries the server is to be told
// of, up to which batch, and how; nil when there is nothing to tell.
func (c *Consumer) settle(deliveries []popeye.Delivery) (owed map[string]bool, acked int64, args []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var seals []string
	for _, d := range deliveries {
		if d.Progress.Server == c.identity && d.Progress.Worker == c.name {
			c.acked = max(c.acked, d.Progress.Batch)
		}
		if d.Seal != 0 {
			seals = append(seals, strconv.FormatInt(d.Seal, 10), tokenOf(d.ID))
			continue
		}
		if position, done := c.hand.settle(d); done {
			c.owed = append(c.owed, position)
		}
	}
	if len(c.owed) == 0 && len(seals) == 0 && c.acked == c.noted {
		return nil, 0, nil
	}
	owed = make(map[string]bool, len(c.owed))
	for _, position := range c.owed {
		owed[position] = true
	}
	args = append(args, c.name, strconv.FormatInt(c.acked, 10), c.identity, strconv.Itoa(len(c.owed)))
	args = append(args, c.owed...)
	return owed, c.acked, append(args, seals...)
}

// Release says that the deliveries were not recorded: they are the next to be
// received here. It returns nil always.
func (c *Consumer) Release(_ context.Context, deliveries []popeye.Delivery, _ error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hand.release(deliveries)
	return nil
}

// Shutdown deletes the consumer. What it has in hand may be taken by others at
// once.
func (c *Consumer) Shutdown(ctx context.Context) error {
	args := []string{c.name, inMilliseconds(c.server.cfg.Lease)}
	if err := c.server.run(ctx, c.server.scripts.leave, oneSlot(), args).Error(); err != nil {
		return c.server.failed("delete a consumer", err)
	}
	return nil
}
