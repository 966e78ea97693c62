package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// campaign is an election during which Popeye is killed again and again. Voters
// know nothing of that: whoever gets no answer asks again, the same with the
// same key, until there is one. The books say what was tried and what was
// acknowledged.
type campaign struct {
	t       *testing.T
	poll    string
	options []string
	launch  launch
	random  *rand.Rand

	address address
	http    *http.Client
	closing atomic.Bool // voters finish the vote in hand, and begin no other
	voters  sync.WaitGroup

	// acknowledged counts answers, retried those that came to a second request.
	acknowledged, retried atomic.Int64
	trap                  atomic.Pointer[trap]
}

// trap kills a process at the very moment when somebody has read that a vote is
// recorded: should that not be true yet, there is no better one.
type trap struct {
	process *process
	// at is the number of answers with which it springs.
	at int64
}

// newCampaign starts Popeye with one poll. The kills come at moments that a seed
// gives, which the log tells.
func newCampaign(t *testing.T, members string) (*campaign, *process) {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("to kill at the same moments: -seed %d", s)
	c := &campaign{
		t: t, poll: "p", options: []string{"a", "b", "c"},
		launch: launch{binary: plainBinary, data: t.TempDir()},
		random: rand.New(rand.NewPCG(s, 0)),
		http:   newClient(t),
	}
	c.http.Jar = nil
	t.Cleanup(c.voters.Wait) // where the test has failed; they give up with its context
	p := c.launch.start(t)
	p.admin(http.MethodPost, "", `{"id":"p","question":"Which?","options":[{"id":"a"},{"id":"b"},{"id":"c"}]`+members+`}`).wants(t, http.StatusCreated)
	c.address.move(p.base)
	return c, p
}

// survive kills p and starts it again, so many times, under the load of the
// voters. It returns the process that runs in the end.
func (c *campaign) survive(p *process, kills int) *process {
	c.t.Helper()
	for range kills {
		enough := c.acknowledged.Load() + 1 + c.random.Int64N(300)
		if c.random.IntN(2) == 0 {
			c.trap.Store(&trap{p, enough})
		} else {
			eventually(c.t, "votes are acknowledged under load", func() bool { return c.acknowledged.Load() >= enough })
			<-time.After(time.Duration(c.random.IntN(5000)) * time.Microsecond)
			p.signal(syscall.SIGKILL)
		}
		p.wait()
		c.address.move("")
		for c.random.IntN(4) == 0 { // and sometimes on its way up
			p = c.launch.spawn(c.t)
			<-time.After(time.Duration(c.random.IntN(60)) * time.Millisecond)
			p.kill()
		}
		p = c.launch.start(c.t)
		c.address.move(p.base)
	}
	return p
}

// count counts an answer that somebody has read.
func (c *campaign) count() {
	n := c.acknowledged.Add(1)
	if trap := c.trap.Load(); trap != nil && n >= trap.at && c.trap.CompareAndSwap(trap, nil) {
		trap.process.signal(syscall.SIGKILL)
	}
}

// close lets every voter finish, each with an answer.
func (c *campaign) close() {
	c.closing.Store(true)
	c.voters.Wait()
	// Go's client connects more often than it needs to, and for connections on
	// which nothing was ever sent a server that ends waits some seconds.
	c.http.CloseIdleConnections()
}

// answer is what the API says to a vote.
type answer struct {
	Status  string
	Choices []string
	Stamp   json.Number
	Receipt string
	// tries counts the requests that it took.
	tries int
}

// repeats reports whether a vote that was sent but once is called a repeat.
func (a answer) repeats() bool { return a.Status == "repeated" && a.tries == 1 }

// errClosed says that the poll takes no votes any more.
var errClosed = errors.New("the poll is closed")

// insist sends a vote until it is answered, and returns the answer.
func (c *campaign) insist(body string, headers ...string) (answer, error) {
	headers = append([]string{"Content-Type", "application/json"}, headers...)
	for tries := 1; ; tries++ {
		base, err := c.address.wait(c.t.Context())
		if err != nil {
			return answer{}, err
		}
		r, err := request{http.MethodPost, base + "/api/v1/votes/" + c.poll, body, headers}.send(c.t.Context(), c.http)
		if err != nil || r.status == http.StatusServiceUnavailable {
			continue
		}
		if r.status == http.StatusGone {
			return answer{}, errClosed
		}
		if r.status != http.StatusCreated && r.status != http.StatusOK {
			return answer{}, fmt.Errorf("attempt %d at a vote got %d: %.300s", tries, r.status, r.body)
		}
		a := answer{tries: tries}
		if err := json.Unmarshal([]byte(r.body), &a); err != nil {
			return a, fmt.Errorf("%w in %.300s", err, r.body)
		}
		if tries > 1 {
			c.retried.Add(1)
		}
		c.count()
		return a, nil
	}
}

// cast lets a voter vote for as long as the campaign lasts. vote casts its nth
// vote.
func (c *campaign) cast(vote func(n int) error) {
	c.voters.Go(func() {
		for n := 0; !c.closing.Load(); n++ {
			if err := vote(n); err != nil {
				if c.t.Context().Err() == nil && !errors.Is(err, errClosed) {
					c.t.Error(err)
				}
				return
			}
		}
	})
}

// watch follows the result through all kills, and returns when ctx is done.
// bounds returns between what the total has to be now.
func (c *campaign) watch(ctx context.Context, bounds func() (least, most int64)) {
	var seen result
	for {
		base, err := c.address.wait(ctx)
		if err != nil {
			return
		}
		least, _ := bounds()
		s, err := follow(ctx, base, c.poll)
		if err != nil {
			continue
		}
		for {
			r, err := s.frame()
			if err != nil {
				break
			}
			_, most := bounds()
			if wrong := compare(seen, r, least, most); wrong != nil {
				c.t.Errorf("a viewer saw %v: %+v, then %+v", wrong, seen, r)
			}
			seen, least = r, r.Total
		}
		_ = s.body.Close()
	}
}

// watching watches as long as the test lasts.
func (c *campaign) watching(bounds func() (least, most int64)) {
	ctx, cancel := context.WithCancel(c.t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c.watch(ctx, bounds)
	}()
	c.t.Cleanup(func() {
		cancel()
		<-gone
	})
}

// compare returns what is wrong with a frame that was shown after another.
func compare(before, now result, least, most int64) error {
	switch {
	case now.Version < before.Version:
		return errors.New("the version fall")
	case now.Version == before.Version && !slices.Equal(before.Options, now.Options):
		return errors.New("two results of one version")
	case now.Total < least:
		return fmt.Errorf("fewer than the %d votes that were acknowledged", least)
	case now.Total > most:
		return fmt.Errorf("more than the %d votes that were cast", most)
	default:
		return now.addsUp()
	}
}

// address is where Popeye is, which changes with every start.
type address struct {
	mu    sync.Mutex
	base  string
	moved chan struct{}
}

// move tells where Popeye is now; empty means that it is away.
func (a *address) move(base string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.base = base
	if a.moved != nil {
		close(a.moved)
		a.moved = nil
	}
}

// wait returns where Popeye is, once it is anywhere, or fails when ctx is done.
func (a *address) wait(ctx context.Context) (string, error) {
	for ctx.Err() == nil {
		a.mu.Lock()
		if a.moved == nil {
			a.moved = make(chan struct{})
		}
		base, moved := a.base, a.moved
		a.mu.Unlock()
		if base != "" {
			return base, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
	return "", ctx.Err()
}
