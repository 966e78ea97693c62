package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"popeye/internal/load"
)

func TestTheBroadcasterSpeaksEnoughOfTheContractToBeMeasured(t *testing.T) {
	server := httptest.NewServer(viewersFloor())
	defer server.Close()
	report, err := load.Run(t.Context(), load.Config{
		URL: server.URL, Poll: pollID, Votes: 50, Concurrency: 4, Viewers: 5,
	})
	if err != nil || !report.OK || report.Counted != 50 {
		t.Errorf("%v\n%s", err, report.String())
	}
}

func TestTheInsertFloorPutsVotesOnDisk(t *testing.T) {
	if n, err := insertsPerSecond(t.Context(), t.TempDir(), 8, 2*time.Second); err != nil || n <= 0 {
		t.Errorf("%g votes a second, %v", n, err)
	}
}

func TestATableComparesEachRoundWithItsFloor(t *testing.T) {
	var table table
	speed := figure{name: "speed", target: 10, more: true, format: "%.0f/s", floor: "light"}
	// The second round was slow for both.
	for _, round := range [][2]float64{{30, 60}, {3, 6}, {20, 40}} {
		table.of(speed).add(round[0], round[1])
	}
	table.of(figure{name: "size", target: 5, format: "%.1f MiB"}).add(5.5, 0)
	text := strings.Join(strings.Fields(table.String()), " ")
	for _, want := range []string{
		"| speed | >= 10/s | 20/s [3/s .. 30/s] | yes | light: 40/s | 0.50 |",
		"| size | < 5.0 MiB | 5.5 MiB [5.5 MiB .. 5.5 MiB] | NO | | |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, table.String())
		}
	}
}

func TestTheFloorsAreKnownByName(t *testing.T) {
	if err := serveFloor(t.Context(), "ground", "127.0.0.1:0"); err == nil {
		t.Error("an unknown floor is served")
	}
}
