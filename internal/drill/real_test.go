package drill

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// onePerKind breaks every kind of part in every way that there is, each long
// enough to be felt.
const onePerKind = `
steps:
- {wait: 1s, kill: redis, for: 500ms}
- {kill: worker, for: 200ms}
- {kill: poll}
- {kill: postgres, for: 500ms}
- {kill: result}
- {kill: admin}
- {restart: redis}
- {restart: poll}
- {restart: worker}
- {restart: postgres}
- {pause: redis, for: 2s}
- {pause: worker, for: 1s}
- {pause: poll, for: 1s}
- {pause: postgres, for: 1s}
- {cut: redis, for: 1s}
- {cut: postgres, for: 1s}
- {freeze: redis, for: 1s}
- {freeze: postgres, for: 1s}
- {mute: redis, for: 1s}
- {mute: postgres, for: 1s}
- {wipe: redis-2}
- {pause: worker, for: 16s}
`

func TestNoVoteIsLostWhateverPartIsBroken(t *testing.T) {
	if testing.Short() {
		t.Skip("a drill takes a minute")
	}
	binary := build(t)
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(plan, []byte(onePerKind), 0o600); err != nil {
		t.Fatal(err)
	}
	faults := strings.Count(onePerKind, "\n- {")
	log := &strings.Builder{}
	report, err := Run(t.Context(), Config{
		Seed: 1, Votes: 1_000_000, Duration: 8 * time.Minute, Rate: 60, Plan: plan, Binary: binary, Out: log, endsWithPlan: true,
	})
	if err != nil || !report.OK() || report.Acknowledged == 0 {
		t.Fatalf("%v\n%s", err, log)
	}
	done := 0
	for _, n := range report.Faults {
		done += n
	}
	if done != faults {
		t.Errorf("of %d faults there were %d:\n%s", faults, done, log)
	}
	t.Log(log)
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "popeye")
	if out, err := exec.Command("go", "build", "-o", binary, "popeye/cmd/popeye").CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("build Popeye: %w\n%s", err, out))
	}
	return binary
}
