package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// crowd is many people who vote at the same time, each once, and are not content
// before that is acknowledged or the poll is closed. It keeps books.
type crowd struct {
	t    *testing.T
	site *site

	leaving atomic.Bool // whoever votes finishes, and nobody new comes
	voters  sync.WaitGroup

	mu sync.Mutex
	// votes are those acknowledged, by option; all is their sum.
	votes map[string]int64
	all   int64
	// doubtful are votes that were sent before the poll was closed and not answered:
	// they may count.
	doubtful map[string]int64
}

// gather lets people come and vote, n at a time, until disperse or the end of the
// test.
func (s *site) gather(n int) *crowd {
	c := &crowd{t: s.t, site: s, votes: map[string]int64{"a": 0, "b": 0}, doubtful: map[string]int64{}}
	ctx, cancel := context.WithCancel(s.t.Context())
	for place := range n {
		c.voters.Go(func() {
			for i := 0; !c.leaving.Load() && ctx.Err() == nil; i++ {
				if err := c.vote(ctx, fmt.Sprint("place ", place, " voter ", i)); err != nil && ctx.Err() == nil {
					s.t.Error(err)
				}
			}
		})
	}
	s.t.Cleanup(func() {
		cancel()
		c.voters.Wait()
	})
	return c
}

func (c *crowd) vote(ctx context.Context, key string) error {
	option := []string{"a", "b"}[rand.IntN(2)]
	r, err := c.site.insist(ctx, key, option)
	switch {
	case err != nil:
		return err
	case r.status == http.StatusGone:
		c.leaving.Store(true)
		c.note(func() { c.doubtful[option] += int64(min(r.tries-1, 1)) })
		return nil
	case !r.stands() || len(r.Choices) != 1 || r.Choices[0] != option:
		return fmt.Errorf("a vote for %s got %d: %s", option, r.status, r.body)
	}
	c.note(func() {
		c.votes[option]++
		c.all++
	})
	return nil
}

func (c *crowd) note(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
}

// acknowledged returns how many votes were, until now.
func (c *crowd) acknowledged() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// more waits until so many more votes are acknowledged.
func (c *crowd) more(n int64) {
	c.t.Helper()
	enough := c.acknowledged() + n
	eventually(c.t, "votes are acknowledged", func() bool { return c.acknowledged() >= enough })
}

// disperse lets everybody finish, and returns the votes acknowledged by option.
func (c *crowd) disperse() map[string]int64 {
	c.leaving.Store(true)
	c.voters.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.votes
}
