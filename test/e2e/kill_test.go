package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	voters = 32
	kills  = 20
)

// killsNow is how often Popeye is killed in this run.
func killsNow() int {
	if testing.Short() {
		return 3
	}
	return kills
}

func TestVoteAcknowledgedBeforeAKillIsThereAfterTheRestartOnce(t *testing.T) {
	t.Parallel()
	c, p := newCampaign(t, "")
	books := newBooks(c.options)
	c.watching(books.bounds)
	for voter := range voters {
		c.cast(func(n int) error {
			v := keyedVote{fmt.Sprintf("voter-%d-vote-%d", voter, n), c.options[rand.IntN(3)]}
			books.try(v)
			a, err := c.insist(choosing(v.option), "Idempotency-Key", v.key)
			if err != nil {
				return err
			}
			if a.repeats() || fmt.Sprint(a.Choices) != "["+v.option+"]" {
				return fmt.Errorf("a vote for %s was acknowledged as %+v", v.option, a)
			}
			books.acknowledge(v, a.Receipt)
			return nil
		})
	}
	p = c.survive(p, killsNow())
	c.close()

	counts, accepted := books.counts()
	t.Logf("%d votes were acknowledged, %d of them to a retry", accepted, c.retried.Load())
	p.result("p").wantCounts(t, accepted, counts)
	for _, v := range books.sample(200) {
		again := p.visitor().cast("p", v.option, "Idempotency-Key", v.key).wants(t, http.StatusOK)
		if again.json(t)["status"] != "repeated" || again.json(t)["receipt"] != books.receipt(v) {
			t.Errorf("an acknowledged vote, cast again, got %s", again.body)
		}
	}
	p.result("p").wantCounts(t, accepted, counts)
	c.sameAfterOneMore(p, accepted, counts)
}

func TestLastAcknowledgedChangeIsWhatCountsAfterKills(t *testing.T) {
	t.Parallel()
	c, p := newCampaign(t, `,"policy":"change"`)
	var begun, arrived atomic.Int64
	c.watching(func() (int64, int64) { return arrived.Load(), begun.Load() })
	people := make([]*undecided, voters)
	for i := range people {
		u := &undecided{campaign: c, name: fmt.Sprintf("voter-%d", i), habit: i % 3}
		if u.habit != habitKey {
			u.cookie = p.cookie("p")
		}
		people[i] = u
		c.cast(func(n int) error {
			if n == 0 {
				begun.Add(1)
				defer arrived.Add(1)
			}
			return u.changeMind(n)
		})
	}
	p = c.survive(p, killsNow())
	c.close()

	counts := map[string]int64{"a": 0, "b": 0, "c": 0}
	for _, u := range people {
		counts[u.standing]++
	}
	accepted := c.acknowledged.Load()
	t.Logf("%d votes and changes were acknowledged, %d of them to a retry", accepted, c.retried.Load())
	p.result("p").wantCounts(t, accepted, counts)
	for i, u := range people {
		if a, err := u.cast(u.standing, fmt.Sprint("once more ", i)); err != nil || a.Status != "repeated" {
			t.Errorf("an acknowledged change, cast again, got %+v, %v", a, err)
		}
	}
	c.sameAfterOneMore(p, accepted, counts)
}

func TestClosingSurvivesAKillAndCountsAllThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	for round := range max(2, killsNow()/4) {
		c, p := newCampaign(t, "")
		books := newBooks(c.options)
		for voter := range voters {
			c.cast(func(n int) error {
				v := keyedVote{fmt.Sprintf("voter-%d-vote-%d", voter, n), c.options[rand.IntN(3)]}
				books.try(v)
				a, err := c.insist(choosing(v.option), "Idempotency-Key", v.key)
				if err == nil {
					books.acknowledge(v, a.Receipt)
				}
				return err
			})
		}
		enough := c.random.Int64N(200)
		eventually(t, "votes are acknowledged under load", func() bool { return c.acknowledged.Load() > enough })
		if round > 0 { // the first closing is a quiet one
			closing := p.closeRequest()
			go func() { // it may be answered, or not, or never be read
				_, _ = closing.send(t.Context(), c.http)
			}()
			<-time.After(time.Duration(c.random.IntN(20_000)) * time.Microsecond)
			p.kill()
			c.address.move("")
			p = c.launch.start(t)
			c.address.move(p.base)
		}
		p.admin(http.MethodPatch, "/p", `{"state":"closed"}`).wants(t, http.StatusOK)
		c.close() // each voter has been answered that the poll is closed
		eventually(t, "the result is final", func() bool { return p.result("p").State == "final" })

		counted := p.result("p")
		// The hash of the final list follows; its coming is a version of its own.
		eventually(t, "the final list has its hash", func() bool { return p.result("p").Receipts.SHA256 != "" })
		final := p.result("p")
		if final.Total != counted.Total || !reflect.DeepEqual(final.Options, counted.Options) || final.Ledger != counted.Ledger {
			t.Errorf("a final result moved from %+v to %+v when its list was hashed", counted, final)
		}
		least, most := books.bounds()
		if wrong := compare(result{}, final, least, most); wrong != nil {
			t.Errorf("the final result has %v: %+v", wrong, final)
		}
		counts, _ := books.counts()
		for option, n := range counts {
			if final.votes(option) < n {
				t.Errorf("%s has %d votes, and %d were acknowledged", option, final.votes(option), n)
			}
		}
		p.stop()
		p = c.launch.start(t)
		if again := p.result("p"); !reflect.DeepEqual(again, final) {
			t.Errorf("a final result moved from %+v to %+v", final, again)
		}
		p.stop()
	}
}

// closeRequest is what an organiser sends to close the poll.
func (p *process) closeRequest() request {
	p.t.Helper()
	return request{
		http.MethodPatch, p.base + "/admin/api/v1/polls/p", `{"state":"closed"}`,
		[]string{"Authorization", "Bearer " + p.token(), "Content-Type", "application/json"},
	}
}

// sameAfterOneMore ends Popeye well for once and starts it again: the result is
// the same, to its version.
func (c *campaign) sameAfterOneMore(p *process, accepted int64, counts map[string]int64) {
	c.t.Helper()
	before := p.result("p")
	p.stop()
	p = c.launch.start(c.t)
	after := p.result("p")
	after.wantCounts(c.t, accepted, counts)
	if after.Version != before.Version {
		c.t.Errorf("nothing changed, but version %d became %d", before.Version, after.Version)
	}
}

// keyedVote is one voter's only vote.
type keyedVote struct{ key, option string }

// books are what voters under the policy "first" know together.
type books struct {
	mu           sync.Mutex
	tried        int64
	acknowledged map[keyedVote]string // the receipt
	byOption     map[string]int64
}

func newBooks(options []string) *books {
	b := &books{acknowledged: map[keyedVote]string{}, byOption: map[string]int64{}}
	for _, o := range options {
		b.byOption[o] = 0
	}
	return b
}

func (b *books) try(keyedVote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tried++
}

func (b *books) acknowledge(v keyedVote, receipt string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acknowledged[v] = receipt
	b.byOption[v.option]++
}

// bounds returns between what the total must be.
func (b *books) bounds() (least, most int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(len(b.acknowledged)), b.tried
}

func (b *books) counts() (map[string]int64, int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byOption, int64(len(b.acknowledged))
}

func (b *books) receipt(v keyedVote) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acknowledged[v]
}

// sample returns some acknowledged votes, any of them.
func (b *books) sample(n int) []keyedVote {
	b.mu.Lock()
	defer b.mu.Unlock()
	var some []keyedVote
	for v := range b.acknowledged {
		if len(some) == n {
			break
		}
		some = append(some, v)
	}
	return some
}

// How a voter is known, and says what is being changed.
const (
	habitKey    = iota // no cookie: one Idempotency-Key names the voter, whatever is chosen
	habitAfter         // a cookie, and the stamp of the vote that is changed
	habitCookie        // a cookie, and a new Idempotency-Key for each change
)

// undecided is a voter who changes their mind all the time.
type undecided struct {
	*campaign
	name, cookie string
	habit        int
	// standing is the last acknowledged choice, stamp that vote's stamp.
	standing, stamp string
}

// changeMind chooses something else, and is not content before that is recorded.
func (u *undecided) changeMind(n int) error {
	option := u.options[rand.IntN(len(u.options))]
	for option == u.standing {
		option = u.options[rand.IntN(len(u.options))]
	}
	a, err := u.cast(option, fmt.Sprint(u.name, "-", n))
	if err != nil {
		return err
	}
	if a.repeats() || fmt.Sprint(a.Choices) != "["+option+"]" {
		return fmt.Errorf("%s changed to %s, and was told %+v", u.name, option, a)
	}
	u.standing, u.stamp = option, a.Stamp.String()
	return nil
}

func (u *undecided) cast(option, key string) (answer, error) {
	switch u.habit {
	case habitKey:
		return u.insist(choosing(option), "Idempotency-Key", u.name)
	case habitCookie:
		return u.insist(choosing(option), "Cookie", u.cookie, "Idempotency-Key", key)
	}
	after := "0"
	if u.stamp != "" {
		after = u.stamp
	}
	return u.insist(fmt.Sprintf(`{"choices":[%q],"after":%s}`, option, after), "Cookie", u.cookie)
}
