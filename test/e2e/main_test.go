// Package e2e looks at a running Popeye from outside only: processes that are
// started, killed and started again, a real browser, the command line. It knows
// the HTTP contract and the flags, and nothing of the code.
//
//	go test ./test/e2e                     all of it
//	go test -race ./test/e2e               the same with a Popeye that detects races
//	go test -short ./test/e2e              fewer kills, and no browser where there is none
//	go test ./test/e2e -run Kill -seed 7   the kills at the moments of an earlier run
//
// Every test builds on what is promised to people who vote, watch or organise,
// starts a process of its own on a free port with a data folder of its own, and
// ends it. Chromium is needed for the tests in a browser: "make deps" installs
// it. The test of a full disk mounts a small file system and is skipped where
// that is not allowed.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a fact may take to come true on a busy machine before a
// test calls it never. No test waits that long when all is well.
const patience = time.Minute

var (
	// popeyeBinary is Popeye as it is tested: with the race detector when the
	// tests have it too.
	popeyeBinary string
	// plainBinary is Popeye as it is shipped, for tests that need its speed.
	plainBinary string
	// tempDir holds them, and whatever else the tests share.
	tempDir string

	browser chromium

	seed = flag.Uint64("seed", 0, "moments of the kills; 0 for new ones")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

// buildAndRun builds Popeye once, runs the tests, and leaves nothing behind.
func buildAndRun(m *testing.M) int {
	var err error
	if tempDir, err = os.MkdirTemp("", "popeye-e2e-"); err == nil {
		defer func() { _ = os.RemoveAll(tempDir) }()
		err = os.Chmod(tempDir, 0o755) // one test runs Popeye as another user
	}
	if err == nil {
		plainBinary, err = build("popeye")
		popeyeBinary = plainBinary
	}
	if err == nil && raceDetector {
		popeyeBinary, err = build("popeye-race", "-race")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer browser.end()
	return m.Run()
}

func build(name string, flags ...string) (string, error) {
	binary := filepath.Join(tempDir, name)
	args := append([]string{"build", "-o", binary}, append(flags, "popeye/cmd/popeye")...)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build Popeye: %w\n%s", err, out)
	}
	return binary, nil
}

// eventually waits for a fact that another process brings about.
func eventually(t *testing.T, fact string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", fact)
		case <-look.C:
		}
	}
}
