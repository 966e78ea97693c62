// Package pipeline_test breaks a distributed Popeye: its roles are processes, Redis
// and PostgreSQL are real, and every part is reached through links that can be
// broken. From outside only: it knows the HTTP contract, the flags, and of the
// queue the names of its stream and of the group that reads it.
//
//	go test ./test/pipeline
//
// Each test is named by the failure that it brings about, and docs/failures.md
// says which. They wait for facts; some for the ten seconds after which the votes
// of a worker that is gone are given to another, so that they run beside each
// other.
package pipeline_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"popeye/internal/lab"
)

// patience is how long a fact may take to come true on a busy machine before a
// test calls it never. No test waits that long when all is well.
const patience = time.Minute

// atATime is how many tests run beside each other. Mostly they wait.
const atATime = "6"

var (
	// popeyeBinary is Popeye as it is shipped.
	popeyeBinary string
	// sharedPostgres is the server on which a test has a database of its own, unless
	// it breaks the server.
	sharedPostgres *lab.Postgres
)

func TestMain(m *testing.M) {
	// Before the command line is read, which may say otherwise.
	if err := flag.Set("test.parallel", atATime); err != nil {
		panic(err)
	}
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// buildAndRun builds Popeye and starts PostgreSQL once, runs the tests, and leaves
// nothing behind.
func buildAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "popeye-pipeline-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	popeyeBinary = filepath.Join(dir, "popeye")
	if out, err := exec.Command("go", "build", "-o", popeyeBinary, "popeye/cmd/popeye").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build Popeye: %w\n%s", err, out)
	}
	sharedPostgres, err = lab.StartPostgres(context.Background(), lab.PostgresConfig{Settings: quickPostgres()})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, sharedPostgres.Close()) }()
	return m.Run(), nil
}

// quickPostgres are settings of a server that need not survive a power cut. A kill
// of its processes it survives all the same.
func quickPostgres() []string {
	return []string{"fsync=off", "synchronous_commit=off", "full_page_writes=off"}
}

// eventually waits for a fact that another process brings about.
func eventually(t *testing.T, fact string, holds func() bool) {
	t.Helper()
	if !isTrueWithin(patience, holds) {
		t.Fatalf("not within %s: %s", patience, fact)
	}
}

// soon reports whether something comes true that need not: what could keep it from
// that is a matter of luck, and the test has another try.
func soon(holds func() bool) bool { return isTrueWithin(time.Second, holds) }

func isTrueWithin(limit time.Duration, holds func() bool) bool {
	deadline := time.After(limit)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-deadline:
			return false
		case <-look.C:
		}
	}
	return true
}
