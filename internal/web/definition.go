package web

import (
	"time"

	"popeye"
)

// Definition is a poll as the API shows it: what its organiser defined, and
// where it stands.
type Definition struct {
	popeye.Poll
	State   popeye.State `json:"state"`
	Round   int64        `json:"round"`
	Version int64        `json:"version"`
	// Incomplete: see popeye.Definition.
	Incomplete bool `json:"incomplete,omitempty"`
}

// NewDefinition returns what the API shows of d at now.
func NewDefinition(d *popeye.Definition, now time.Time) Definition {
	return Definition{Poll: d.Poll, State: d.StateAt(now), Round: d.Round, Version: d.Version, Incomplete: d.Incomplete}
}
