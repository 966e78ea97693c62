package web

import (
	"fmt"
	"slices"

	"popeye"
)

// ballot is a VoteView with what its template would have to compute.
type ballot struct {
	VoteView
	// Choices are the poll's options, Standing those of the recorded vote.
	Choices, Standing []choice
	// Hint says how many options to choose.
	Hint string
	// Limits says what the integrity level stops and what it does not.
	Limits string
	// Open says that the form is offered, Again that it changes a vote.
	Open, Again bool
	// Recheck says that the page will soon say something else: it opens.
	Recheck bool
}

// choice is an option on the ballot.
type choice struct {
	popeye.Option
	Look     look
	Selected bool
}

func newBallot(v VoteView) ballot {
	b := ballot{VoteView: v, Hint: hintOf(&v.Poll.Poll), Limits: limitsOf(v.Poll.Integrity)}
	voted := len(v.Recorded) > 0
	b.Open = v.State == popeye.Open && (!voted || v.Changeable)
	b.Again = b.Open && voted
	b.Recheck = v.State == popeye.Draft
	for i, o := range v.Poll.Options {
		recorded := slices.ContainsFunc(v.Recorded, func(r popeye.Option) bool { return r.ID == o.ID })
		c := choice{Option: o, Look: lookOf(i, o), Selected: recorded}
		if recorded {
			b.Standing = append(b.Standing, c)
		}
		if v.Selected != nil {
			c.Selected = slices.Contains(v.Selected, o.ID)
		}
		b.Choices = append(b.Choices, c)
	}
	return b
}

// hintOf says in words how many options a vote may name.
func hintOf(p *popeye.Poll) string {
	all := len(p.Options)
	switch {
	case p.Max <= 1:
		return "Choose one."
	case p.Min == p.Max:
		return fmt.Sprintf("Choose exactly %d.", p.Min)
	case p.Min <= 1 && p.Max >= all:
		return "Choose as many as you like."
	case p.Min <= 1:
		return fmt.Sprintf("Choose up to %d.", p.Max)
	case p.Max >= all:
		return fmt.Sprintf("Choose %d or more.", p.Min)
	default:
		return fmt.Sprintf("Choose %d to %d.", p.Min, p.Max)
	}
}

// limitsOf is honest about an integrity level: what it stops and what not.
func limitsOf(level popeye.Integrity) string {
	switch level {
	case popeye.Code:
		return "One vote per code. Handing a code on is not stopped."
	case popeye.Login:
		return "One vote per account. A person with several accounts is not stopped."
	default:
		return "One vote per browser. A second browser or private window is not stopped."
	}
}
