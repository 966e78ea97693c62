package drill

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"popeye"
	"popeye/internal/web"
)

// reckoning compares what the journal says was attempted and acknowledged with
// what was counted. It is fed the journal, then the list of receipts of each
// poll, and then asked.
type reckoning struct {
	polls [pollCount]*account
	// open are the casts of which nothing more is known yet, by number.
	open map[int]record
	// attempted and acknowledged count casts, unknown those whose fate nobody has
	// told, refused those refused for good, by status.
	attempted, acknowledged int64
	refused                 map[int]int64
	// others counts answers that another vote stands.
	others int64
}

// account is what is known of one poll.
type account struct {
	policy popeye.Policy
	// voters are those who have attempted to vote, by number.
	voters map[int]*voter
	// byReceipt are the voters whose receipt is known.
	byReceipt map[string]*voter
	// lost counts acknowledged votes that another acknowledged vote of the same
	// voter rules out, misheard acknowledgements of what was not cast.
	lost, misheard int64

	// listed, twice and strangers count the list's receipts: all, those that are
	// there already, and those that no answer has told. last is the one before.
	listed, twice, strangers int64
	unsorted                 bool
	last                     string
	sum                      hash.Hash
}

// voter is one voter in one poll.
type voter struct {
	// possible are the options that may stand.
	possible popeye.Choices
	// stands: an answer has said that a vote of this voter stands.
	stands bool
	// refused counts attempts that cannot have arrived, attempts all.
	attempts, refused int
	known, counted    bool
}

func newReckoning(polls [pollCount]pollInfo) *reckoning {
	r := &reckoning{open: map[int]record{}, refused: map[int]int64{}}
	for i, p := range polls {
		r.polls[i] = &account{policy: p.policy, voters: map[int]*voter{}, byReceipt: map[string]*voter{}, sum: sha256.New()}
	}
	return r
}

// read takes a record of the journal.
func (r *reckoning) read(e record) error {
	if e.event == attempted {
		if e.poll < 0 || e.poll >= pollCount {
			return fmt.Errorf("there is no poll %d", e.poll)
		}
		r.attempted++
		r.open[e.cast] = e
		r.polls[e.poll].attempt(e)
		return nil
	}
	begun, ok := r.open[e.cast]
	if !ok {
		return fmt.Errorf("cast %d is %s, but was not attempted, or is settled already", e.cast, e.event)
	}
	delete(r.open, e.cast)
	switch a := r.polls[begun.poll]; e.event {
	case acknowledged:
		r.acknowledged++
		a.acknowledge(begun, e)
	case otherStands:
		r.others++
		a.yield(begun, e)
	default:
		r.refused[e.status]++
		a.voters[begun.voter].refused++
	}
	return nil
}

// attempt notes that a vote may be counted from now on.
func (a *account) attempt(e record) {
	v := a.voters[e.voter]
	if v == nil {
		v = &voter{}
		a.voters[e.voter] = v
	}
	v.attempts++
	if !v.stands || a.policy == popeye.Change {
		v.possible |= 1 << e.choice
	}
}

// acknowledge notes that a vote stands. Under the policy first it does so for
// good: another one acknowledged before is lost.
func (a *account) acknowledge(begun, e record) {
	if e.choice != begun.choice {
		a.misheard++
	}
	a.stand(begun.voter, e)
}

// yield notes that not this vote of the voter stands but another one. Under the
// policy change that may be one that is not acknowledged yet.
func (a *account) yield(begun, e record) {
	v := a.voters[begun.voter]
	if a.policy == popeye.Change && e.choice >= 0 {
		a.know(v, e.receipt)
		v.possible |= 1 << e.choice
		return
	}
	a.stand(begun.voter, e)
}

func (a *account) stand(number int, e record) {
	v := a.voters[number]
	a.know(v, e.receipt)
	if e.choice < 0 {
		a.misheard++
		return
	}
	only := popeye.Choices(1) << e.choice
	if a.policy == popeye.First && v.stands && v.possible != only {
		a.lost++
	}
	v.stands, v.possible = true, only
}

// know notes a voter's receipt.
func (a *account) know(v *voter, receipt string) {
	if other := a.byReceipt[receipt]; other != nil && other != v {
		a.misheard++
	}
	v.known = true
	a.byReceipt[receipt] = v
}

// list takes the next receipt of the final list.
func (a *account) list(receipt string) {
	a.sum.Write([]byte(receipt + "\n"))
	a.listed++
	if a.last != "" && receipt < a.last {
		a.unsorted = true
	}
	repeated := receipt == a.last
	a.last = receipt
	v := a.byReceipt[receipt]
	switch {
	case repeated || v != nil && v.counted:
		a.twice++
	case v == nil:
		a.strangers++
	default:
		v.counted = true
	}
}

// verdict is what a poll's account comes to.
type verdict struct {
	// voters counts those who have attempted to vote, unsure those of them of whom
	// nobody knows whether they are counted.
	voters, unsure                 int64
	lost, doubled, invented, drift int64
	// away says which tallies drift makes up.
	away     []string
	problems []string
}

// verdict compares the account with the result, of which the list is part.
func (a *account) verdict(shown web.Result) verdict {
	v := verdict{voters: int64(len(a.voters)), lost: a.lost}
	least, most := make([]int64, len(shown.Options)), make([]int64, len(shown.Options))
	unheard := int64(0)
	for _, one := range a.voters {
		switch {
		case one.stands && !one.counted:
			v.lost++
			continue
		case !one.stands && one.attempts == one.refused:
			continue
		case !one.stands:
			v.unsure++
			if !one.known {
				unheard++
			}
		}
		one.bound(least, most)
	}
	v.doubled = a.twice + max(0, shown.Total-a.listed)
	v.invented = max(0, a.strangers-unheard)
	v.drift, v.away = drift(shown, least, most)
	v.problems = a.problems(shown)
	return v
}

// bound adds the voter to the votes that each option has at least, and at most.
func (v *voter) bound(least, most []int64) {
	certain := v.counted && v.possible.Count() == 1
	for i := range most {
		if !v.possible.Has(i) {
			continue
		}
		most[i]++
		if certain {
			least[i]++
		}
	}
}

// drift returns by how many votes tallies are away from what they can be, and a
// line for each of them.
func drift(shown web.Result, least, most []int64) (votes int64, away []string) {
	sum := int64(0)
	for i, o := range shown.Options {
		sum += o.Votes
		if off := max(0, least[i]-o.Votes, o.Votes-most[i]); off > 0 {
			votes += off
			away = append(away, fmt.Sprintf("%s: option %s has %d votes, by the answers %d to %d", shown.Poll, o.ID, o.Votes, least[i], most[i]))
		}
	}
	if off := max(sum-shown.Total, shown.Total-sum); off > 0 {
		votes += off
		away = append(away, fmt.Sprintf("%s: the options have %d votes, and %d voters are counted", shown.Poll, sum, shown.Total))
	}
	return votes, away
}

// problems says what else does not add up.
func (a *account) problems(shown web.Result) []string {
	var found []string
	complain := func(is bool, format string, args ...any) {
		if is {
			found = append(found, shown.Poll+": "+fmt.Sprintf(format, args...))
		}
	}
	l := shown.Ledger
	complain(l.Accepted != l.Stored+l.Rejected+l.Queued || l.Queued != 0, "the ledger of the final result does not add up: %+v", l)
	complain(l.Stored < shown.Total, "%d votes are stored, %d counted", l.Stored, shown.Total)
	complain(shown.Total < a.listed, "%d votes are counted, and %d receipts listed", shown.Total, a.listed)
	complain(shown.Incomplete, "the result was declared final without all queue servers")
	complain(a.unsorted, "the receipts are not sorted")
	complain(a.misheard > 0, "%d answers do not fit to what was cast", a.misheard)
	if hash := hex.EncodeToString(a.sum.Sum(nil)); shown.Receipts == nil || shown.Receipts.SHA256 != hash {
		complain(true, "the published hash is not that of the list of receipts")
	}
	return found
}
