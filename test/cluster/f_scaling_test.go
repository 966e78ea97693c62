//go:build cluster

package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"popeye"
)

// A rush of voters beside the few who vote anyway: enough for more pods of poll, where
// one is said to be busy with less than it can do, and not so many that the machine is.
const (
	usualRate  = 40
	rushRate   = 120
	rushVotes  = 60 * rushRate
	busyAtCPU  = "poll.autoscaling.cpu=40m"
	usuallyCPU = "poll.autoscaling.cpu=300m"
)

func TestAutoscalerAddsPodsInARushAndRemovesThemWithoutLosingAVote(t *testing.T) {
	long(t)
	defer func(r float64) { *rate = r }(*rate)
	*rate = usualRate
	upgrade(t, busyAtCPU)
	t.Cleanup(func() { upgrade(t, usuallyCPU) })
	eventually(t, 5*time.Minute, func() error { return replicas(t, 2, 2) })
	rush := popeye.Poll{ID: fmt.Sprintf("rush-%d", time.Now().Unix()), Question: "Which one?", Options: []popeye.Option{{ID: "a"}, {ID: "b"}}}
	if _, _, err := organiser().Apply(t.Context(), rush.WithDefaults()); err != nil {
		t.Fatal(err)
	}
	r := whileVoting(t, func(*screen) {
		over := make(chan error, 1)
		go func() {
			_, err := attempt(5*time.Minute, "../../dist/popeye", "load", "--url", *address, "--poll", rush.ID,
				fmt.Sprintf("--votes=%d", rushVotes), fmt.Sprintf("--rate=%d", rushRate))
			over <- err
		}()
		began := time.Now()
		eventually(t, 2*time.Minute, func() error { return replicas(t, 3, 6) })
		t.Logf("a third pod of poll served %.1f s after the rush began", time.Since(began).Seconds())
		if err := <-over; err != nil {
			t.Errorf("the rush: %v", err)
		}
		ended := time.Now()
		upgrade(t, usuallyCPU)
		eventually(t, 8*time.Minute, func() error { return replicas(t, 2, 2) })
		t.Logf("there were two again %.1f s after it ended", time.Since(ended).Seconds())
	})
	noneFailed(t, r)
}

// replicas says that so many pods of poll serve, and no others are there.
func replicas(t *testing.T, least, most int) error {
	t.Helper()
	var want, ready int
	said := kubectl(t, "get", "deployment", "popeye-poll", "--output=jsonpath={.status.replicas} {.status.readyReplicas}")
	if _, err := fmt.Sscan(said, &want, &ready); err != nil {
		return fmt.Errorf("replicas of poll: %q", said)
	}
	if want < least || want > most || ready != want {
		return fmt.Errorf("of %d pods of poll %d serve", want, ready)
	}
	return nil
}
