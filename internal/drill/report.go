package drill

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"popeye/internal/web"
)

// Report is what a drill found.
type Report struct {
	Seed uint64
	Plan string
	// Faults counts what was done to the parts.
	Faults map[Action]int
	// Elapsed is how long votes were cast.
	Elapsed time.Duration
	// Attempted counts the votes cast, Acknowledged those of which a server said
	// that they stand, Others those of which it said that another one of the same
	// voter does, Unknown those of which none has said anything, and Refused
	// those refused for good, by status.
	Attempted, Acknowledged, Others, Unknown int64
	Refused                                  map[int]int64
	// Again counts for what reasons votes were sent again.
	Again map[string]int64
	// Voters counts who has attempted to vote, Counted who was counted.
	Voters, Counted int64
	// Lost counts acknowledged votes that are not counted, Doubled votes counted
	// more than once, Invented those that nobody has cast, and Drift by how many
	// votes tallies are away from the choices that were acknowledged.
	Lost, Doubled, Invented, Drift int64
	// Away says which tallies Drift makes up, a line each.
	Away []string
	// Silence is the longest time without an acknowledgement, and SilenceAt when
	// it began.
	Silence, SilenceAt time.Duration
	// Trouble is what went wrong with the last of the unknown votes.
	Trouble string
	// Problems says what else is wrong, a line each.
	Problems []string
	// Dir is where data, logs and journal are kept, empty where they are not.
	Dir string
}

// OK reports whether every acknowledged vote was counted exactly once, none was
// invented, and nothing else is wrong.
func (r *Report) OK() bool {
	return r.Lost == 0 && r.Doubled == 0 && r.Invented == 0 && r.Drift == 0 && len(r.Problems) == 0
}

// add enters what a poll comes to.
func (r *Report) add(v verdict, shown web.Result) {
	r.Voters += v.voters
	r.Counted += shown.Total
	r.Lost += v.lost
	r.Doubled += v.doubled
	r.Invented += v.invented
	r.Drift += v.drift
	r.Away = append(r.Away, v.away...)
	r.Problems = append(r.Problems, v.problems...)
}

// String returns the report as people read it. Its last four lines are for
// programs.
func (r *Report) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s "+format+"\n", append([]any{name}, args...)...)
	}
	line("plan", "%s, seed %d: %s", r.Plan, r.Seed, counts(r.Faults, "faults", "no faults"))
	line("attempted", "%d votes of %d voters in %s", r.Attempted, r.Voters, r.Elapsed.Round(time.Second))
	line("sent again", "%s", counts(r.Again, "times", "never"))
	if r.Others > 0 {
		line("other stands", "%d votes: their voter had another tab", r.Others)
	}
	if r.Unknown > 0 {
		line("unknown", "%d votes, the last because %s", r.Unknown, r.Trouble)
	}
	for _, status := range slices.Sorted(maps.Keys(r.Refused)) {
		line("refused", "%d votes: %d %s", r.Refused[status], status, http.StatusText(status))
	}
	line("silence", "%s at most without an acknowledgement, %s after the begin",
		r.Silence.Round(time.Millisecond), r.SilenceAt.Round(time.Second))
	line("counted", "%d voters", r.Counted)
	line("tally drift", "%d", r.Drift)
	for _, problem := range slices.Concat(r.Away, r.Problems) {
		line("WRONG", "%s", problem)
	}
	if r.Dir != "" {
		line("kept", "data, logs and journal in %s", r.Dir)
	}
	fmt.Fprintf(&b, "acknowledged %d\nlost %d\ndoubled %d\ninvented %d\n", r.Acknowledged, r.Lost, r.Doubled, r.Invented)
	return b.String()
}

// counts writes a sum and what it is made of.
func counts[K ~string, N int | int64](of map[K]N, unit, none string) string {
	var total N
	var each []string
	for _, key := range slices.Sorted(maps.Keys(of)) {
		total += of[key]
		each = append(each, fmt.Sprintf("%s %d", key, of[key]))
	}
	if total == 0 {
		return none
	}
	return fmt.Sprintf("%d %s (%s)", total, unit, strings.Join(each, ", "))
}
