package sqlite

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"popeye"
)

// victimFolder tells a copy of this test binary to be the process that dies.
const victimFolder = "POPEYE_TEST_VICTIM"

func TestVotesSurviveAProcessThatIsKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "popeye.db")
	recorded := 0
	for range 3 {
		recorded = killWhileRecording(t, path, recorded)
		s, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatalf("the database of the dead cannot be opened: %v", err)
		}
		tally, err := s.Tally(t.Context(), "p")
		if err != nil || tally.Total < int64(recorded) {
			t.Fatalf("%d votes are left of the %d recorded, %v", tally.Total, recorded, err)
		}
		recorded = int(tally.Total)
		expectVotes(t, s, recorded)
		if err := s.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWhileRecording returns how many votes the victim has said it recorded
// when it was killed in the middle of further ones.
func killWhileRecording(t *testing.T, path string, before int) int {
	t.Helper()
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	victim.Env = append(os.Environ(), victimFolder+"="+path)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	victim.Stderr = os.Stderr
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	lines, recorded := bufio.NewScanner(out), 0
	for recorded < before+500 && lines.Scan() {
		if recorded, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatalf("the victim said %q", lines.Text())
		}
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it said before it died
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			recorded = n
		}
	}
	if err := victim.Wait(); err == nil || recorded < before+500 {
		t.Fatalf("the victim recorded %d votes and ended with %v; want it killed at work", recorded, err)
	}
	return recorded
}

// TestVictim is no test: it records votes, and says how many, until it is
// killed.
func TestVictim(t *testing.T) {
	path := os.Getenv(victimFolder)
	if path == "" {
		t.Skip("it is run by TestVotesSurviveAProcessThatIsKilled")
	}
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := s.Apply(t.Context(), testPoll("p", popeye.First), popeye.Open)
	if err != nil {
		t.Fatal(err)
	}
	tally, err := s.Tally(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	for n := int(tally.Total); ; n += 50 {
		record(t, s, newVotes(d, n, 50)...)
		fmt.Println(n + 50)
	}
}
