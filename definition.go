package popeye

import (
	"cmp"
	"slices"
	"time"
)

// Definition is a poll in its current round: all that a role must know to take
// or to show its votes.
type Definition struct {
	Poll
	// Round is a number never used twice, by any poll: resetting or reopening
	// makes a new one, so that nothing of an old round can leak into it.
	Round int64
	// State is the state last set. Times may have overtaken it: see StateAt.
	State State
	// VoterKey names the key that makes this round's pseudonyms. Empty: the
	// round was begun by a role that has no keys, and waits for one to be named.
	VoterKey string
	// Version grows with each change of the definition or of the state.
	Version int64
	// Incomplete: the result was declared final although votes may be missing
	// that only lost queue servers had.
	Incomplete bool
}

// StateAt returns the state at now, as opening and closing times have it.
func (d *Definition) StateAt(now time.Time) State {
	if d.State != Open {
		return d.State
	}
	if now.Before(d.Opens) {
		return Draft
	}
	if d.Due(now) {
		return Closed
	}
	return Open
}

// Due reports whether the round is set open and its closing time has come.
func (d *Definition) Due(now time.Time) bool {
	return d.State == Open && !d.Closes.IsZero() && !now.Before(d.Closes)
}

// IsPublic reports whether anybody may see the result at now. Until then only
// those may who have voted, under AfterVote, or nobody.
func (d *Definition) IsPublic(now time.Time) bool {
	state := d.StateAt(now)
	return d.Results == Always || state == Closed || state == Final
}

// Catalog is the set of all definitions at one moment. It never changes; a nil
// Catalog is an empty one.
type Catalog struct {
	version int64
	all     []*Definition
	byID    map[string]*Definition
}

// NewCatalog returns a catalog of the definitions, sorted by ID. The version
// grows with every change of any of them, deletions included: a queue refuses a
// catalog older than the one that it has, or else a worker that slept could
// bring back a deleted poll.
func NewCatalog(version int64, definitions []Definition) *Catalog {
	c := &Catalog{version: version, byID: make(map[string]*Definition, len(definitions))}
	for _, d := range definitions {
		c.all = append(c.all, &d)
		c.byID[d.ID] = &d
	}
	slices.SortFunc(c.all, func(a, b *Definition) int { return cmp.Compare(a.ID, b.ID) })
	return c
}

// Version returns the catalog's version, zero for a nil Catalog.
func (c *Catalog) Version() int64 {
	if c == nil {
		return 0
	}
	return c.version
}

// Find returns the definition of the poll with this ID, or nil.
func (c *Catalog) Find(id string) *Definition {
	if c == nil {
		return nil
	}
	return c.byID[id]
}

// All returns the definitions, sorted by ID. Neither the slice nor what it
// points to may be changed.
func (c *Catalog) All() []*Definition {
	if c == nil {
		return nil
	}
	return c.all
}

// OpenAt returns the definitions that take votes at now, sorted by ID.
func (c *Catalog) OpenAt(now time.Time) []*Definition {
	var open []*Definition
	for _, d := range c.All() {
		if d.StateAt(now) == Open {
			open = append(open, d)
		}
	}
	return open
}
