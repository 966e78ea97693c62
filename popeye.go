// Package popeye holds the words of Popeye's domain: polls, rounds, votes,
// tallies, and the rules that every part must agree on. It stands on the
// standard library alone and knows neither HTTP nor SQL; roles and adapters
// meet in these types and never in each other.
package popeye

import "errors"

// EveryPoll is what a bell's listener hears in place of a poll when it may have
// missed rings: when it begins to listen, or does so again. No poll has this ID.
const EveryPoll = ""

// What a role is told when a request cannot be answered with a result. An
// adapter wraps exactly one of them, so that the edge can pick a status with
// errors.Is; any other error means that something is broken.
var (
	// ErrNotFound: there is no such poll or round.
	ErrNotFound = errors.New("no such poll")
	// ErrClosed: the round takes no votes now: it is not open yet, or no more.
	ErrClosed = errors.New("the poll is not open")
	// ErrFull: the queue refuses so as not to lose; try again later.
	ErrFull = errors.New("the queue is full")
	// ErrUnavailable: a part that is needed is away; try again later.
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrExists: the change would break what was voted on, or is there already.
	ErrExists = errors.New("conflicts with what is stored")
	// ErrUnrecordable: a vote can never be recorded, however often it is tried:
	// its fault is in its own data. Nothing of its batch was written.
	ErrUnrecordable = errors.New("the vote can never be recorded")
)
