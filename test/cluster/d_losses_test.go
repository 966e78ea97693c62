//go:build cluster

package cluster_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestKillingTheDatabaseLosesNoVote(t *testing.T) {
	long(t)
	r := whileVoting(t, func(s *screen) {
		kubectl(t, "delete", "pod", "popeye-postgres-0", "--grace-period=0", "--force")
		killed := time.Now()
		before := s.seen()
		ready(t)
		eventually(t, time.Minute, func() error {
			if now := s.seen(); now <= before {
				return fmt.Errorf("the result stays at %d", now)
			}
			return nil
		})
		t.Logf("results went on after %.1f s", time.Since(killed).Seconds())
	})
	noneFailed(t, r)
	if r.Silence > 2*time.Second {
		t.Errorf("no vote was acknowledged for %s", r.Silence)
	}
}

// Whatever is acknowledged is in the logs of two queue servers, and nowhere else while
// there is no worker.
func TestVotesThatNobodyHasRecordedSurviveTheRestartOfEveryQueueServer(t *testing.T) {
	long(t)
	t.Cleanup(func() { scale(t, "worker", 2) })
	r := whileVoting(t, func(s *screen) {
		scale(t, "worker", 0)
		before := s.seen()
		time.Sleep(5 * time.Second) // in which votes come
		kubectl(t, append([]string{"delete", "pod", "--grace-period=0", "--force"}, pods(t, "redis")...)...)
		kubectl(t, "rollout", "status", "statefulset/popeye-redis", "--timeout=180s")
		scale(t, "worker", 2)
		eventually(t, 2*time.Minute, func() error {
			if now := s.seen(); now < before+int64(5**rate*6/10) { // of ten votes six are of new voters in the first poll
				return fmt.Errorf("the result is %d, after %d", now, before)
			}
			return nil
		})
	})
	if r.Acknowledged == 0 {
		t.Error("no vote was acknowledged")
	}
}

// scale makes so many pods of a role, and waits for that.
func scale(t *testing.T, role string, replicas int) {
	t.Helper()
	kubectl(t, "scale", "deployment/popeye-"+role, fmt.Sprintf("--replicas=%d", replicas))
	kubectl(t, "rollout", "status", "deployment/popeye-"+role, "--timeout=180s")
	eventually(t, time.Minute, func() error {
		if n := len(pods(t, role)); n != replicas {
			return fmt.Errorf("there are %d pods of %s", n, role)
		}
		return nil
	})
}

func TestALostNodeStopsVotingForTenSecondsAtMost(t *testing.T) {
	long(t)
	node := besideTheDatabase(t)
	t.Cleanup(func() { turnOn(t, node) })
	r := whileVoting(t, func(s *screen) {
		tool(t, time.Minute, *harness, "node", "stop", node)
		lost := time.Now()
		before := s.seen()
		eventually(t, 40*time.Second, func() error {
			if now := s.seen(); now < before+int64(5**rate) {
				return fmt.Errorf("the result is %d, after %d", now, before)
			}
			return nil
		})
		t.Logf("results are five seconds of votes further %.1f s after %s was lost", time.Since(lost).Seconds(), node)
		if rest := 45*time.Second - time.Since(lost); rest > 0 {
			time.Sleep(rest)
		}
		tool(t, 2*time.Minute, *harness, "node", "start", node)
		kubectl(t, "wait", "--for=condition=ready", "--timeout=120s", "node/"+node)
		ready(t)
	})
	if r.Silence > 10*time.Second {
		t.Errorf("no vote was acknowledged for %s", r.Silence)
	}
}

func TestALostNodeWithTheDatabaseLosesNoVote(t *testing.T) {
	long(t)
	node := nodeOf(t, "popeye-postgres-0")
	t.Cleanup(func() { turnOn(t, node) })
	r := whileVoting(t, func(s *screen) {
		tool(t, time.Minute, *harness, "node", "stop", node)
		time.Sleep(40 * time.Second)
		before := s.seen()
		tool(t, 2*time.Minute, *harness, "node", "start", node)
		started := time.Now()
		kubectl(t, "wait", "--for=condition=ready", "--timeout=120s", "node/"+node)
		ready(t)
		eventually(t, 2*time.Minute, func() error {
			if now := s.seen(); now < before+int64(40**rate) {
				return fmt.Errorf("the result is %d, after %d", now, before)
			}
			return nil
		})
		t.Logf("results caught up %.1f s after the node's power came back", time.Since(started).Seconds())
	})
	if r.Silence > 10*time.Second {
		t.Errorf("no vote was acknowledged for %s", r.Silence)
	}
}

// turnOn makes sure behind a test that a node is on, and spreads the pods again.
func turnOn(t *testing.T, node string) {
	t.Helper()
	if _, err := attempt(time.Minute, *harness, "node", "start", node); err != nil {
		t.Log(err) // it is on
	}
	kubectl(t, "wait", "--for=condition=ready", "--timeout=120s", "node/"+node)
	spread(t)
}

func TestUninstallKeepsVotesAndReinstallFindsThem(t *testing.T) {
	long(t)
	counted := func() int {
		said := kubectl(t, "exec", "popeye-postgres-0", "--container=postgres", "--",
			"psql", "--username=postgres", "--dbname=popeye", "--tuples-only", "--no-align", "--command=SELECT count(*) FROM votes")
		n, err := strconv.Atoi(strings.TrimSpace(said))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := counted()
	tool(t, 3*time.Minute, "helm", "uninstall", "popeye", "--namespace", *namespace, "--wait")
	eventually(t, 2*time.Minute, func() error {
		if left := kubectl(t, "get", "pods", "--selector=app.kubernetes.io/component in (redis,postgres)", "--output=name"); left != "" {
			return fmt.Errorf("still there: %s", left)
		}
		return nil
	})
	up(t)
	ready(t)
	// The installation casts one vote more.
	if after := counted(); after < before+1 || before == 0 {
		t.Errorf("%d votes were there, and %d are", before, after)
	}
}
