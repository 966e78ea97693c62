package drill

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Action is what is done to a part.
type Action string

// Kill is SIGKILL, and a start when the time is over; Restart is SIGTERM instead.
// Pause is SIGSTOP and SIGCONT. Cut refuses and resets connections to a server,
// Freeze lets nothing pass, Mute lets requests pass and no replies. Wipe takes a
// queue server's disk away. Exec runs a command.
const (
	Kill    Action = "kill"
	Restart Action = "restart"
	Pause   Action = "pause"
	Cut     Action = "cut"
	Freeze  Action = "freeze"
	Mute    Action = "mute"
	Wipe    Action = "wipe"
	Exec    Action = "exec"
)

// Step is one fault: it begins after a while, lasts, and is over before the next
// one.
type Step struct {
	// Wait is how long after the end of the fault before this one begins.
	Wait time.Duration
	// Action is empty where there is only something to wait for.
	Action Action
	// Target is the part's name, such as redis-2.
	Target string
	// For is how long the fault lasts.
	For time.Duration
	// Exec is the command of the action of that name, Undo what ends the fault;
	// both are programs with their arguments.
	Exec, Undo []string
}

// String returns what happens, and not when.
func (s Step) String() string {
	if s.Action == Exec {
		return "exec " + strings.Join(s.Exec, " ")
	}
	return fmt.Sprintf("%s %s for %s", s.Action, s.Target, s.For)
}

// Plans are the names of the plans that come with the drill.
func Plans() []string { return []string{"quiet", "kills", "pauses", "partitions", "everything"} }

// kind is what parts have in common; a name such as poll-1 is one of its kind.
type kind string

const (
	kindRedis    kind = "redis"
	kindPostgres kind = "postgres"
	kindPoll     kind = "poll"
	kindWorker   kind = "worker"
	kindResult   kind = "result"
	kindAdmin    kind = "admin"
)

// size is how many parts there are of each kind.
type size map[kind]int

// entry is something that a plan may choose.
type entry struct {
	// weight is how often it is chosen, compared with the others.
	weight int
	action Action
	kinds  []kind
	// least and most bound how long it lasts.
	least, most time.Duration
}

// beyondLease is longer than a worker may be silent before others take over what
// it holds.
const beyondLease = 16 * time.Second

func killing() []entry {
	all := []kind{kindRedis, kindPostgres, kindPoll, kindWorker, kindResult, kindAdmin}
	return []entry{
		{8, Kill, all, 0, 2 * time.Second},
		{2, Restart, all, 0, time.Second},
	}
}

func pausing() []entry {
	return []entry{
		{9, Pause, []kind{kindRedis, kindPostgres, kindPoll, kindWorker, kindResult, kindAdmin}, 200 * time.Millisecond, 4 * time.Second},
		{1, Pause, []kind{kindRedis, kindPostgres, kindPoll, kindWorker}, beyondLease, beyondLease + 4*time.Second},
	}
}

func parting() []entry {
	servers := []kind{kindRedis, kindRedis, kindRedis, kindPostgres}
	return []entry{
		{3, Cut, servers, 200 * time.Millisecond, 4 * time.Second},
		{3, Freeze, servers, 500 * time.Millisecond, 5 * time.Second},
		{3, Mute, servers, 500 * time.Millisecond, 5 * time.Second},
	}
}

// losing is for where every vote is on more than one queue server.
func losing() []entry {
	return []entry{{1, Wipe, []kind{kindRedis}, 0, 2 * time.Second}}
}

// menu returns what the plan of that name chooses from, and whether there is
// one.
func menu(name string, copies int) ([]entry, bool) {
	switch name {
	case "quiet":
		return nil, true
	case "kills":
		return killing(), true
	case "pauses":
		return pausing(), true
	case "partitions":
		return parting(), true
	case "everything":
		all := slices.Concat(killing(), pausing(), parting())
		if copies > 1 {
			all = append(all, losing()...)
		}
		return all, true
	default:
		return nil, false
	}
}

// planner makes up faults.
type planner struct {
	*rand.Rand
	size size
	// loser is the only queue server whose disk is ever lost: with those of two,
	// all that there is of a vote could be gone.
	loser int
}

// planned returns the source of all that a plan leaves to chance.
func planned(seed uint64, parts size) *planner {
	p := &planner{Rand: rand.New(rand.NewPCG(seed, 0)), size: parts} //nolint:gosec // a drill can be repeated by its seed
	p.loser = 1 + p.IntN(parts[kindRedis])
	return p
}

// choose returns one fault after the other, without end. The same planner makes
// up the same ones.
func (p *planner) choose(from []entry) iter.Seq[Step] {
	return func(yield func(Step) bool) {
		for len(from) > 0 && yield(p.step(p.pick(from))) {
		}
	}
}

func (p *planner) pick(from []entry) entry {
	total := 0
	for _, e := range from {
		total += e.weight
	}
	n := p.IntN(total)
	for _, e := range from {
		if n -= e.weight; n < 0 {
			return e
		}
	}
	return from[0] // not reached: n was below the total
}

func (p *planner) step(e entry) Step {
	target := p.part(e.kinds[p.IntN(len(e.kinds))])
	if e.action == Wipe {
		target = fmt.Sprintf("%s-%d", kindRedis, p.loser)
	}
	return Step{
		Wait: p.between(100*time.Millisecond, 2*time.Second), Action: e.action, Target: target,
		For: p.between(e.least, e.most),
	}
}

// anyOf returns the part that a target means: itself, or any of that kind.
func (p *planner) anyOf(target string) string {
	if p.size[kind(target)] == 0 {
		return target
	}
	return p.part(kind(target))
}

// part returns the name of any part of a kind.
func (p *planner) part(k kind) string {
	if k == kindPostgres {
		return string(k)
	}
	return fmt.Sprintf("%s-%d", k, 1+p.IntN(p.size[k]))
}

func (p *planner) between(least, most time.Duration) time.Duration {
	return (least + time.Duration(p.Int64N(int64(most-least)+1))).Round(100 * time.Millisecond)
}
