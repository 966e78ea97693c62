// Package quorum makes one queue of several queue servers, as the poll role sees
// it: without a primary, a failover or an election. Each vote is written to n of
// N servers, one after the other, and acknowledged once n hold it. One server
// and one copy take the same way.
//
// Any two sets of n servers have one in common, since 2n > N. And all casts of a
// voter visit the servers in the same order, so that the first one of them that
// never fails has the last word on which vote stands. Therefore:
//
//   - As long as no server loses its data, whatever else fails, when and how often:
//     no two votes of one voter are acknowledged under policy first, and under
//     change nobody is told of a vote older than one acknowledged before.
//   - As long as whatever fails is one and the same server, and be it all of its
//     data and time and again: the same; no vote is refused; and in the store there
//     stands in the end, under first, the vote that was acknowledged, and under
//     change, the newest of them or a newer one.
//   - Though any of them failed to answer before, and the store has heard of nothing
//     yet: when one server then loses its data, there stands in the store what was
//     acknowledged.
//
// The tests explore all of this exhaustively, with every call a step and every fault at
// any of them. It takes that different votes of a voter have different stamps, and
// that the servers of a round are the same as long as it is open. And it is not
// promised that no second vote of a voter is acknowledged where one server has
// lost its data, and later another one does not answer: the store then keeps one of
// them.
package quorum

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
)

// Server is one queue server. It decides by itself, as popeye.Mark.Decide and
// popeye.Cast.Begin say, and knows nothing of the others.
type Server interface {
	// Put makes a vote durable, or says what stands instead. It fails with
	// popeye.ErrNotFound where the server does not know the round, ErrClosed,
	// ErrFull or ErrUnavailable; after the last the vote may be there. When within has
	// passed, the server is too slow; when ctx ends first, its caster has left.
	Put(ctx context.Context, c popeye.Cast, within time.Duration) (popeye.Answer, error)
	// Mark tells the vote that stands for a voter on this server, if any.
	Mark(ctx context.Context, round int64, v popeye.Voter) (popeye.Mark, bool, error)
	// Catalog returns the catalog that the server has, nil unless its version is
	// above known.
	Catalog(ctx context.Context, known int64) (*popeye.Catalog, error)
	// Announce names the voter key that new rounds should use.
	Announce(ctx context.Context, voterKey string) error
}

// Place is a server and the name of the place where it is: host and port.
type Place struct {
	// Name must be the same wherever the server is used: the order in which a
	// voter's servers are visited comes from it.
	Name   string
	Server Server
}

// What a Config leaves out.
const (
	DefaultTimeout = 500 * time.Millisecond
	DefaultRest    = 3 * time.Second
	DefaultRefresh = 500 * time.Millisecond
)

// maxServers bounds the time that one cast can take.
const maxServers = 16

// Config is what a Queue needs. All but Servers, Copies and Log may be left out.
type Config struct {
	// Servers are all the queue servers there are.
	Servers []Place
	// Copies is how many of them get each vote: more than half.
	Copies int
	// Timeout bounds each call of a server. Zero means DefaultTimeout.
	Timeout time.Duration
	// Rest is for how long, half of it more or less, a server that failed gets no
	// votes; then one vote tries it. Zero means DefaultRest.
	Rest time.Duration
	// Patience bounds the time for which a cast is tried again and again while too
	// few servers answer. Zero: once is all.
	Patience time.Duration
	// Refresh is how often each server is asked for its catalog. Zero means
	// DefaultRefresh.
	Refresh time.Duration
	// VoterKey is the name of the key that new rounds should use. Empty: none is
	// announced.
	VoterKey string
	Log      *slog.Logger
	// Metrics takes the queue's metrics, named popeye_queue_...; nil: nobody does.
	Metrics prometheus.Registerer
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// Validate says what is wrong with the servers and the number of copies, or nil.
func (c Config) Validate() error {
	n := len(c.Servers)
	switch {
	case n < 1 || n > maxServers:
		return fmt.Errorf("1 to %d queue servers are needed, there are %d", maxServers, n)
	case c.Copies < 1 || c.Copies > n:
		return fmt.Errorf("%d copies of a vote need as many queue servers, there are %d", c.Copies, n)
	case 2*c.Copies <= n:
		return fmt.Errorf("with %d queue servers, %d copies of a vote are too few: no voter could be kept from voting twice; it takes %d",
			n, c.Copies, n/2+1)
	}
	seen := make(map[string]bool, n)
	for _, p := range c.Servers {
		if seen[p.Name] {
			return fmt.Errorf("the queue server %s is named twice", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}

// Queue takes casts from any number of goroutines.
type Queue struct {
	cfg    Config
	places []*place
	// tooMany is N - n + 1: with so many servers missing, the others are fewer than
	// n. readers is how many have to be read so as to meet one of any n, and, where
	// there are two, not only one that has lost its data.
	tooMany, readers int

	known atomic.Pointer[polls]
	// refreshing is held by the pass that asks all servers for their catalog;
	// passes counts those begun, and told the servers that answered the last one.
	refreshing chan struct{}
	passes     atomic.Int64
	told       atomic.Int64
	// patient is held by the casts that wait to be tried again.
	patient chan struct{}
}

// New returns a queue that knows no poll until it is asked for one, or runs. It
// panics unless the configuration is valid.
func New(c Config) *Queue {
	if err := c.Validate(); err != nil {
		panic("quorum: " + err.Error())
	}
	return newQueue(c)
}

func newQueue(c Config) *Queue {
	c.Timeout = orElse(c.Timeout, DefaultTimeout)
	c.Rest = orElse(c.Rest, DefaultRest)
	c.Refresh = orElse(c.Refresh, DefaultRefresh)
	if c.Now == nil {
		c.Now = time.Now
	}
	n := len(c.Servers)
	q := &Queue{cfg: c, tooMany: n - c.Copies + 1, refreshing: make(chan struct{}, 1), patient: make(chan struct{}, maxPatient)}
	q.readers = min(max(q.tooMany, 2), n)
	m := newMetrics(c.Metrics)
	for number, p := range slices.SortedFunc(slices.Values(c.Servers), byName) {
		q.places = append(q.places, newPlace(number, p, &q.cfg, m))
	}
	return q
}

func byName(a, b Place) int { return strings.Compare(a.Name, b.Name) }

func orElse(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}
