package poll

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"popeye"
	"popeye/internal/voter"
	"popeye/internal/web"
)

// ballot is a request to vote, from a form or from the API.
type ballot struct {
	choices []string
	// token is the form's signed voter.
	token string
	// after is the stamp of the vote that the voter saw, zero for none.
	after popeye.Stamp
}

// verdict is what became of a ballot.
type verdict struct {
	who     voter.Identity
	voter   popeye.Voter
	outcome popeye.Outcome
	// mark is the vote that stands.
	mark popeye.Mark
}

// restamps bounds how often a cast is stamped again above a mark: each time
// another device of the same voter must have changed the vote in between.
const restamps = 4

// clockSlack is how far ahead of this clock a stamp may be that another one has
// made. Without a bound, a client could use up the stamps of its vote.
const clockSlack = 24 * time.Hour

// cast is the way of every vote: who is it, what do they choose, what became of
// it. The browser is told who it is in any case, so that it can try again.
func (p *Poll) cast(w http.ResponseWriter, r *http.Request, d *popeye.Definition, b ballot) (verdict, error) {
	var v verdict
	var err error
	if v.who, err = p.cfg.Voters.Identify(r, d, b.token); err != nil {
		return v, err
	}
	p.cfg.Voters.SetCookie(w, r, v.who)
	if v.voter, err = p.cfg.Voters.Pseudonym(d, v.who.ID); err != nil {
		return v, err
	}
	if d.StateAt(p.cfg.Now()) != popeye.Open {
		return v, popeye.ErrClosed
	}
	if b.after < 0 || b.after > popeye.NewStamp(p.cfg.Now().Add(clockSlack), 0, 0) {
		return v, web.NewProblem(http.StatusUnprocessableEntity, `"after" is not the stamp of a vote.`)
	}
	choices, err := d.Choose(b.choices)
	if err != nil {
		return v, err
	}
	vote := popeye.Vote{Round: d.Round, Voter: v.voter, Choices: choices}
	answer, err := p.enqueue(r, d, popeye.Cast{Vote: vote, After: b.after}, v.who.Source)
	if err != nil {
		return v, err
	}
	v.outcome, v.mark = answer.Outcome, answer.Mark
	if d.Results == popeye.AfterVote {
		p.cfg.Voters.GrantPass(w, r, d)
	}
	return v, nil
}

// enqueue stamps the cast and gives it to the queue, unless too many are on their
// way there. Where the voter did not say which vote it follows, it follows the
// newest one there is.
func (p *Poll) enqueue(r *http.Request, d *popeye.Definition, c popeye.Cast, source voter.Source) (popeye.Answer, error) {
	select {
	case p.inFlight <- struct{}{}:
		defer func() { <-p.inFlight }()
	default:
		return popeye.Answer{}, fmt.Errorf("%w: %d votes are on their way to the queue", popeye.ErrFull, p.cfg.MaxCasts)
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.cfg.Timeout)
	defer cancel()
	if d.Policy != popeye.Change {
		c.Stamp = popeye.NewStamp(p.cfg.Now(), 0, c.Choices)
		return p.cfg.Queue.Enqueue(ctx, c)
	}
	key := r.Header.Get("Idempotency-Key")
	keyed := key != "" && source != voter.FromSeed
	id := retryOf(key, c)
	if keyed && p.recent.has(id) {
		return p.standing(ctx, c)
	}
	answer, err := p.enqueueAbove(ctx, c)
	if err == nil && keyed && answer.Outcome.Stands() {
		p.recent.add(id)
	}
	return answer, err
}

// enqueueAbove stamps the cast above the vote that it follows. Where the voter
// did not say which, that is the newest one that the queue tells of. From then on
// the cast names it: where the queue is several servers, one that missed it must
// not take an older vote for the one that stands.
func (p *Poll) enqueueAbove(ctx context.Context, c popeye.Cast) (popeye.Answer, error) {
	isGiven := c.After != 0
	for range restamps {
		c.Stamp = popeye.NewStamp(p.cfg.Now(), c.After, c.Choices)
		answer, err := p.cfg.Queue.Enqueue(ctx, c)
		if err != nil || answer.Outcome != popeye.Conflict || isGiven {
			return answer, err
		}
		c.After = max(c.After, answer.Mark.Stamp)
	}
	return popeye.Answer{}, fmt.Errorf("%w: the vote is being changed elsewhere at the same time", popeye.ErrUnavailable)
}

// standing answers a late copy of a request, which stood in its time, with the
// vote that stands now.
func (p *Poll) standing(ctx context.Context, c popeye.Cast) (popeye.Answer, error) {
	mark, ok, err := p.cfg.Queue.Mark(ctx, c.Round, c.Voter)
	if err != nil {
		return popeye.Answer{}, err
	}
	if !ok {
		return p.enqueueAbove(ctx, c)
	}
	return popeye.Answer{Outcome: popeye.Repeated, Mark: mark}, nil
}

// count notes in the metrics what became of a ballot.
func (p *Poll) count(v verdict, err error) {
	outcome := string(v.outcome)
	if err != nil {
		outcome = strconv.Itoa(web.ProblemOf(err).Status)
	}
	p.casts.WithLabelValues(outcome).Inc()
}

// admit refuses what another site's page sends, and more than a network's share.
func (p *Poll) admit(r *http.Request) error {
	if err := p.origins.Check(r); err != nil {
		return web.NewProblem(http.StatusForbidden, "This vote was sent by a page of another site.")
	}
	return p.cfg.Limiter.Check(r)
}

// castJSON is POST /api/v1/votes/{poll}.
func (p *Poll) castJSON(w http.ResponseWriter, r *http.Request) error {
	if err := p.admit(r); err != nil {
		return err
	}
	var body struct {
		Choices []string     `json:"choices"`
		After   popeye.Stamp `json:"after"`
	}
	if err := web.ReadJSON(w, r, &body, false); err != nil {
		return err
	}
	d, err := p.find(r)
	if err != nil {
		return err
	}
	v, err := p.cast(w, r, d, ballot{choices: body.Choices, after: body.After})
	if err != nil {
		err = p.refusal(d, err)
	}
	p.count(v, err)
	if err != nil {
		return err
	}
	if !v.outcome.Stands() {
		return otherStands(d, v)
	}
	status := http.StatusOK
	if v.outcome == popeye.Accepted {
		status = http.StatusCreated
	}
	w.Header().Set("Cache-Control", "private, no-store")
	web.JSON(w, status, answer{v.outcome, ids(d, v.mark), v.mark.Stamp, v.voter.Receipt()})
	return nil
}

// answer is what the API says to a vote that stands.
type answer struct {
	Status  popeye.Outcome `json:"status"`
	Choices []string       `json:"choices"`
	Stamp   popeye.Stamp   `json:"stamp"`
	Receipt string         `json:"receipt"`
}

// otherStands is the problem of a vote in whose place another one stands.
func otherStands(d *popeye.Definition, v verdict) error {
	detail := "You have voted already, and in this poll the first vote stands."
	if v.outcome == popeye.Conflict {
		detail = "Your vote was changed elsewhere in the meantime. Look at it, and change it again if you want."
	}
	problem := web.NewProblem(http.StatusConflict, detail)
	problem.More = map[string]any{
		"outcome": v.outcome, "choices": ids(d, v.mark), "stamp": v.mark.Stamp, "receipt": v.voter.Receipt(),
	}
	return problem
}

// refusal adds what is known of the poll to why a vote was refused.
func (p *Poll) refusal(d *popeye.Definition, err error) error {
	switch {
	case errors.Is(err, voter.ErrBadIdempotencyKey):
		return web.NewProblem(http.StatusBadRequest, "The header Idempotency-Key must have 1 to 255 characters.")
	case !errors.Is(err, popeye.ErrClosed):
		return unconfirmed(err)
	case d.StateAt(p.cfg.Now()) == popeye.Draft:
		problem := web.NewProblem(http.StatusGone, "The poll is not open yet.")
		if !d.Opens.IsZero() {
			problem.More = map[string]any{"opens": d.Opens}
		}
		return problem
	default:
		return web.NewProblem(http.StatusGone, "The poll is closed.")
	}
}

// unconfirmed says, where err is that something is full or away, what that means
// for the vote: it may have arrived somewhere all the same.
func unconfirmed(err error) error {
	problem := web.ProblemOf(err)
	if problem.Status != http.StatusServiceUnavailable {
		return err
	}
	reason := "a part of the service is away"
	if errors.Is(err, popeye.ErrFull) {
		reason = "too many are waiting"
	}
	problem.Detail = "Your vote is not confirmed: " + reason + ". Please send it again in a moment; it never counts twice."
	return fmt.Errorf("%w: %w", problem, err)
}

func ids(d *popeye.Definition, m popeye.Mark) []string {
	chosen := []string{}
	for _, o := range d.Chosen(m.Choices) {
		chosen = append(chosen, o.ID)
	}
	return chosen
}
