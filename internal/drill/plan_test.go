package drill

import (
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var parts = size{kindRedis: 3, kindPostgres: 1, kindPoll: 2, kindWorker: 2, kindResult: 2, kindAdmin: 1}

func firstOf(n int, plan iter.Seq[Step]) []Step {
	var steps []Step
	for s := range plan {
		if steps = append(steps, s); len(steps) == n {
			break
		}
	}
	return steps
}

func TestSameSeedIsTheSamePlanAndAnotherOneAnother(t *testing.T) {
	t.Parallel()
	for _, name := range Plans() {
		plan := func(seed uint64) []string {
			cfg, err := Config{Seed: seed, Votes: 1, Duration: time.Second, Rate: 1, Plan: name}.complete()
			if err != nil {
				t.Fatal(err)
			}
			steps, err := cfg.plan()
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, s := range firstOf(500, steps) {
				lines = append(lines, s.Wait.String()+" "+s.String())
			}
			return lines
		}
		one, again, other := plan(1), plan(1), plan(2)
		if !slices.Equal(one, again) {
			t.Errorf("%s: the same seed makes up another plan", name)
		}
		if name != "quiet" && (len(one) != 500 || slices.Equal(one, other)) {
			t.Errorf("%s: two seeds make up the same plan of %d steps", name, len(one))
		}
	}
}

func TestSameSeedCastsTheSameVotes(t *testing.T) {
	t.Parallel()
	one, again := newScript(1), newScript(1)
	kinds := map[string]int{}
	for range 5000 {
		a, b := one.next(), again.next()
		if a.poll != b.poll || a.voter != b.voter || a.choice != b.choice || a.rival != b.rival {
			t.Fatalf("%+v, and then %+v", a, b)
		}
		switch {
		case a.rival != noRival:
			kinds["in two tabs"]++
		case a.before != nil:
			kinds["changed"]++
		}
		if a.rival == a.choice {
			t.Error("a rival that is none")
		}
	}
	if kinds["in two tabs"] < 50 || kinds["changed"] < 500 {
		t.Errorf("of 5000 votes there are %v", kinds)
	}
}

func TestPlansBreakWhatTheirNamesSay(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]Action{
		"kills":      {Kill, Restart},
		"pauses":     {Pause},
		"partitions": {Cut, Freeze, Mute},
		"everything": {Cut, Freeze, Kill, Mute, Pause, Restart, Wipe},
	} {
		entries, _ := menu(name, 2)
		actions, targets, wiped := map[Action]bool{}, map[string]bool{}, map[string]bool{}
		for _, s := range firstOf(3000, planned(7, parts).choose(entries)) {
			actions[s.Action], targets[s.Target] = true, true
			if s.Action == Wipe {
				wiped[s.Target] = true
			}
			if s.For < 0 || s.For > 30*time.Second || s.Wait <= 0 || s.Wait > 2*time.Second {
				t.Errorf("%s: %+v", name, s)
			}
		}
		for _, a := range want {
			if !actions[a] {
				t.Errorf("%s: no %s", name, a)
			}
			delete(actions, a)
		}
		if len(actions) > 0 || len(wiped) > 1 || name != "partitions" && len(targets) != 11 {
			t.Errorf("%s: also %v, of %v, whose disk is lost: %v", name, actions, targets, wiped)
		}
	}
	entries, _ := menu("everything", 1)
	for _, s := range firstOf(3000, planned(7, size{kindRedis: 1, kindPoll: 1, kindWorker: 1, kindResult: 1, kindAdmin: 1}).choose(entries)) {
		if s.Action == Wipe {
			t.Fatal("the only copy of a vote is taken away")
		}
	}
}

func TestPlanIsReadFromAFile(t *testing.T) {
	t.Parallel()
	steps, err := planIn(t, `
repeat: true
steps:
- {wait: 2s, kill: redis-1, for: 1s}
- {pause: worker, for: 20s}
- {wait: 100ms}
- {exec: [kubectl, delete, pod], for: 5s, undo: [true]}
`)
	if err != nil {
		t.Fatal(err)
	}
	got := firstOf(40, steps)
	if s := got[4]; s.Wait != 2*time.Second || s.Action != Kill || s.Target != "redis-1" || s.For != time.Second {
		t.Errorf("%+v", s)
	}
	if s := got[3]; s.String() != "exec kubectl delete pod" || s.Undo[0] != "true" {
		t.Errorf("%+v", s)
	}
	targets := map[string]bool{}
	for _, s := range got {
		if s.Action == Pause {
			targets[s.Target] = true
		}
	}
	if len(targets) != 2 || !targets["worker-1"] || !targets["worker-2"] {
		t.Errorf("any worker is %v", targets)
	}
	once, err := planIn(t, "steps: [{kill: poll-2}]")
	if err != nil || len(firstOf(2, once)) != 1 {
		t.Errorf("a plan that does not repeat: %v", err)
	}
}

func TestPlanFilesThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"steps: [{kil: redis-1}]":                    "kil",
		"steps: [{kill: redis-4}]":                   "redis-4",
		"steps: [{cut: postgres-1}]":                 "postgres-1",
		"steps: [{kill: redis-1, cut: redis-1}]":     "more than one",
		"steps: [{}]":                                "nothing",
		"steps: [{wait: -1s}]":                       "wait",
		"steps: [{wait: 2h}]":                        "1h",
		"{repeat: true, steps: [{restart: poll-1}]}": "wait or for",
		"steps: 5": "5",
	} {
		if _, err := planIn(t, text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want something about %q", text, err, says)
		}
	}
}

func planIn(t *testing.T, text string) (iter.Seq[Step], error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Config{Votes: 1, Duration: time.Second, Rate: 1, Plan: file}.complete()
	if err != nil {
		t.Fatal(err)
	}
	return cfg.plan()
}
