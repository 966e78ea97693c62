package web

import (
	"fmt"
	"strings"
	"time"

	"popeye"
)

// scoreboard is a ResultView with what its template would have to compute.
type scoreboard struct {
	ResultView
	Rows []row
	// Standing is how settled the result is.
	Standing popeye.Standing
	// Pill says how settled and how fresh the page is, and Mood colours it.
	Mood, Pill string
	// Headline names the leader, for the window's title. Empty: nobody leads.
	Headline string
	// Unit is what Total counts.
	Unit string
	// VoteAt is VoteURL as people type it.
	VoteAt string
	// Dense is how closely the rows must stand: by it the style sheet sizes them.
	Dense string
	// ToLeader says that bars are drawn against the leader.
	ToLeader bool
	// NotYet says that voting has not begun.
	NotYet bool
}

func newScoreboard(v ResultView) scoreboard {
	_, address, found := strings.Cut(v.VoteURL, "://")
	if !found {
		address = v.VoteURL
	}
	s := scoreboard{
		ResultView: v, Standing: v.Tally.Standing(), VoteAt: address,
		NotYet: v.Tally.StateAt(v.Now) == popeye.Draft, Dense: densityOf(len(v.Tally.Options)),
	}
	if v.Hidden != "" {
		s.Tally.Votes, s.Tally.Total, s.Tally.Ledger, s.Tally.Version = nil, 0, popeye.Ledger{}, 0
		return s
	}
	s.Rows = rowsOf(&v.Tally)
	s.ToLeader = len(v.Tally.Options) > manyOptions
	s.Unit = unitOf(&v.Tally)
	s.Mood, s.Pill = pillOf(&s)
	s.Headline = headlineOf(s.Rows)
	return s
}

// pillOf says how settled and how fresh the page is as it was sent. Only the
// script can say "live".
func pillOf(s *scoreboard) (mood, text string) {
	switch {
	case s.Standing == popeye.Settled && s.Tally.Incomplete:
		return "final", "final, incomplete"
	case s.Standing == popeye.Settled:
		return "final", "final"
	case s.Stale >= time.Second:
		return "stale", fmt.Sprintf("stale for %d s", int64(s.Stale/time.Second))
	case s.Standing == popeye.Provisional && s.Tally.Ledger.Queued > 0:
		return "provisional", "provisional, " + countText(s.Tally.Ledger.Queued) + " in flight"
	case s.Standing == popeye.Provisional:
		return "provisional", "provisional"
	default:
		return "snapshot", "as of " + s.Now.UTC().Format("15:04:05") + " UTC"
	}
}

func unitOf(t *popeye.Tally) string {
	unit := "vote"
	if t.Kind == popeye.Multiple {
		unit = "voter"
	}
	if t.Total != 1 {
		unit += "s"
	}
	return unit
}

// headlineOf names the one option that leads, and its share.
func headlineOf(rows []row) string {
	var leader *row
	for i := range rows {
		if !rows[i].Leads {
			continue
		}
		if leader != nil {
			return "Tie"
		}
		leader = &rows[i]
	}
	if leader == nil {
		return ""
	}
	return leader.Label + " " + leader.Share
}

func densityOf(options int) string {
	switch {
	case options <= 3:
		return "few"
	case options <= 6:
		return "some"
	case options <= 12:
		return "many"
	default:
		return "crowd"
	}
}
