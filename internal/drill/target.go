package drill

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"popeye"
	"popeye/internal/client"
	"popeye/internal/web"
)

const (
	// openLimit bounds the wait until every server knows the polls.
	openLimit = time.Minute
	// openTimes is how often in a row a server has to show a poll as open.
	openTimes = 20
	// finalLimit bounds the wait until every server shows the final result.
	finalLimit = 3 * time.Minute
	// askLimit bounds one question, askEvery is the time between two.
	askLimit = 10 * time.Second
	askEvery = 100 * time.Millisecond
	// receiptLength is that of a receipt, in characters.
	receiptLength = 16
)

// target is the Popeye that votes are cast at, seen from outside.
type target struct {
	// pollURLs and resultURLs are where votes are cast, and where results are
	// shown.
	pollURLs, resultURLs []string
	organiser            *client.Client
	polls                [pollCount]pollInfo
	http                 *http.Client
}

// pollInfo is a poll that is voted in.
type pollInfo struct {
	id      string
	policy  popeye.Policy
	options []string
}

// newTarget returns a target with polls that nobody has voted in yet.
func newTarget(pollURLs, resultURLs []string, organiser *client.Client) *target {
	t := &target{
		pollURLs: pollURLs, resultURLs: resultURLs, organiser: organiser,
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: askLimit}},
	}
	run := strings.ToLower(rand.Text()[:8])
	t.polls[firstPoll] = pollInfo{id: "drill-" + run + "-first", policy: popeye.First}
	t.polls[changePoll] = pollInfo{id: "drill-" + run + "-change", policy: popeye.Change}
	for i := range t.polls {
		for option := range options {
			t.polls[i].options = append(t.polls[i].options, string(rune('a'+option)))
		}
	}
	return t
}

// open makes the polls, and waits until every server takes votes in them.
func (t *target) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	for _, p := range t.polls {
		definition := popeye.Poll{ID: p.id, Question: "Drill: which one?", Policy: p.policy}
		for _, option := range p.options {
			definition.Options = append(definition.Options, popeye.Option{ID: option})
		}
		if err := insist(ctx, func(ctx context.Context) error {
			_, _, err := t.organiser.Apply(ctx, definition.WithDefaults())
			return err
		}); err != nil {
			return fmt.Errorf("make the poll %s: %w", p.id, err)
		}
		for _, server := range t.pollURLs {
			if err := insist(ctx, func(ctx context.Context) error { return t.isOpenEverywhere(ctx, server, p.id) }); err != nil {
				return fmt.Errorf("open the poll %s: %w", p.id, err)
			}
		}
	}
	return nil
}

// isOpenEverywhere asks many times, for there may be several behind one address.
func (t *target) isOpenEverywhere(ctx context.Context, server, poll string) error {
	for range openTimes {
		if err := t.isOpen(ctx, server, poll); err != nil {
			return err
		}
	}
	return nil
}

func (t *target) isOpen(ctx context.Context, server, poll string) error {
	var shown struct {
		State popeye.State `json:"state"`
	}
	if err := t.read(ctx, server+"/api/v1/polls/"+poll, &shown); err != nil {
		return err
	}
	if shown.State != popeye.Open {
		return fmt.Errorf("%s shows it as %s", server, shown.State)
	}
	return nil
}

// finish closes the polls, and waits until every server shows the final result.
// It returns that of each poll as the first server shows it, and what is wrong
// where another one shows something else.
func (t *target) finish(ctx context.Context) (results [pollCount]web.Result, differences []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, finalLimit)
	defer cancel()
	for i, p := range t.polls {
		if err := insist(ctx, func(ctx context.Context) error {
			_, err := t.organiser.SetState(ctx, p.id, popeye.Closed)
			return err
		}); err != nil {
			return results, nil, fmt.Errorf("close the poll %s: %w", p.id, err)
		}
		for j, server := range t.resultURLs {
			shown, err := t.final(ctx, server, p.id)
			if err != nil {
				return results, nil, fmt.Errorf("wait for the final result of %s at %s: %w", p.id, server, err)
			}
			if j == 0 {
				results[i] = shown
			}
			if !isSame(results[i], shown) {
				differences = append(differences, fmt.Sprintf("%s shows another final result of %s than %s", server, p.id, t.resultURLs[0]))
			}
		}
	}
	return results, differences, nil
}

// final waits until a server shows the final result with its list of receipts.
func (t *target) final(ctx context.Context, server, poll string) (web.Result, error) {
	var shown web.Result
	err := insist(ctx, func(ctx context.Context) error {
		shown = web.Result{}
		if err := t.read(ctx, server+"/api/v1/results/"+poll, &shown); err != nil {
			return err
		}
		if shown.State != popeye.Settled {
			return fmt.Errorf("it is %s, with %+v", shown.State, shown.Ledger)
		}
		if shown.Receipts == nil {
			return errors.New("there is no list of receipts")
		}
		return nil
	})
	return shown, err
}

// isSame reports whether two servers count the same.
func isSame(a, b web.Result) bool {
	if a.Total != b.Total || a.Ledger != b.Ledger || len(a.Options) != len(b.Options) || *a.Receipts != *b.Receipts {
		return false
	}
	for i := range a.Options {
		if a.Options[i].Votes != b.Options[i].Votes {
			return false
		}
	}
	return true
}

// receipts visits the receipts of a final result in the order in which they are
// listed.
func (t *target) receipts(ctx context.Context, poll string, visit func(receipt string)) error {
	response, err := t.get(ctx, t.resultURLs[0]+"/api/v1/results/"+poll+"/receipts")
	if err != nil {
		return fmt.Errorf("read the receipts of %s: %w", poll, err)
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end, or there is another error
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		visit(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the receipts of %s: %w", poll, err)
	}
	return nil
}

// read gets a document.
func (t *target) read(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	response, err := t.get(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // as above
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("%s does not answer like Popeye: %w", url, err)
	}
	return nil
}

func (t *target) get(ctx context.Context, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := t.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close() // its status says enough
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return response, nil
}

// insist tries until it works or ctx is done.
func insist(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if !sleep(ctx, askEvery) {
			return err
		}
	}
}
