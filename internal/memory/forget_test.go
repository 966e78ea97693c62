package memory

import (
	"testing"

	"popeye"
)

func TestAQueueForgetsTheRoundsThatItsPollsHaveLeft(t *testing.T) {
	q := NewQueue(QueueConfig{})
	d := popeye.Definition{Poll: popeye.Poll{ID: "p"}, State: popeye.Open}
	for range 100 {
		d.Round++
		d.Version++
		if err := q.Publish(t.Context(), popeye.NewCatalog(d.Version, []popeye.Definition{d})); err != nil {
			t.Fatalf("publish: %v", err)
		}
		if len(q.rounds) != 1 {
			t.Fatalf("after %d rounds of a poll the queue holds %d of them, want 1", d.Round, len(q.rounds))
		}
	}
	if err := q.Publish(t.Context(), popeye.NewCatalog(d.Version+1, nil)); err != nil {
		t.Fatalf("publish: %v", err)
	}
	if len(q.rounds) != 0 {
		t.Fatalf("with no poll left the queue holds %d rounds", len(q.rounds))
	}
}
