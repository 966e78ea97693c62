//go:build cluster

package cluster_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"popeye/internal/drill"
)

func TestKillingTheDatabaseLosesNoVote(t *testing.T) {
	long(t)
	r := whileVoting(t, func(s *screen) {
		kubectl(t, "delete", "pod", "popeye-postgres-0", "--grace-period=0", "--force")
		killed := time.Now()
		before := s.seen()
		ready(t)
		eventually(t, time.Minute, func() error { return s.beyond(before + 1) })
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
		// Of ten votes six are of new voters in the first poll.
		eventually(t, 2*time.Minute, func() error { return s.beyond(before + int64(5**rate*6/10)) })
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

// With its power, or only its cable. A node that is cut off goes on by itself, and
// whatever it did meanwhile must not count twice when it is back.
func TestALostNodeStopsVotingForTenSecondsAtMost(t *testing.T) {
	long(t)
	harnessed(t)
	for _, way := range []struct{ lose, regain string }{{"stop", "start"}, {"partition", "heal"}} {
		t.Run(way.lose, func(t *testing.T) {
			node := besideTheDatabase(t)
			t.Cleanup(func() { regain(t, way.regain, node) })
			r := whileVoting(t, func(s *screen) {
				power(t, way.lose, node)
				lost := time.Now()
				before := s.seen()
				eventually(t, 40*time.Second, func() error { return s.beyond(before + int64(5**rate)) })
				t.Logf("results are five seconds of votes further %.1f s after %s was lost", time.Since(lost).Seconds(), node)
				if rest := 45*time.Second - time.Since(lost); rest > 0 {
					time.Sleep(rest)
				}
				power(t, way.regain, node)
				kubectl(t, "wait", "--for=condition=ready", "--timeout=120s", "node/"+node)
				ready(t)
			})
			soonAcknowledged(t, r)
		})
	}
}

// What the runbook says when the disk of a queue server is lost.
func TestAQueueServersDiskLostWithItsNodeLosesNoVote(t *testing.T) {
	long(t)
	harnessed(t)
	node := besideTheDatabase(t)
	t.Cleanup(func() { regain(t, "start", node) })
	pod := kubectl(t, "get", "pods", "--selector=app.kubernetes.io/component=redis", "--field-selector=spec.nodeName="+node, "--output=jsonpath={.items[*].metadata.name}")
	claim := func() string {
		return kubectl(t, "get", "pvc", "--ignore-not-found", "data-"+pod, "--output=jsonpath={.metadata.uid}")
	}
	first := claim()
	r := whileVoting(t, func(s *screen) {
		power(t, "stop", node)
		time.Sleep(10 * time.Second) // in which votes come
		kubectl(t, "delete", "pvc", "data-"+pod, "--wait=false")
		kubectl(t, "delete", "pod", pod, "--grace-period=0", "--force")
		time.Sleep(10 * time.Second)
		power(t, "start", node)
		kubectl(t, "wait", "--for=condition=ready", "--timeout=120s", "node/"+node)
		ready(t)
		before := s.seen()
		eventually(t, time.Minute, func() error { return s.beyond(before + int64(5**rate)) })
	})
	if second := claim(); first == "" || second == "" || second == first {
		t.Errorf("the claim of %s was %q, and is %q", pod, first, second)
	}
	soonAcknowledged(t, r)
}

func TestALostNodeWithTheDatabaseLosesNoVote(t *testing.T) {
	long(t)
	harnessed(t)
	node := nodeOf(t, "popeye-postgres-0")
	t.Cleanup(func() { regain(t, "start", node) })
	r := whileVoting(t, func(s *screen) {
		power(t, "stop", node)
		lost := time.Now()
		eventually(t, 40*time.Second, s.stale)
		t.Logf("results say that they are stale %.1f s after %s was lost", time.Since(lost).Seconds(), node)
		if rest := 40*time.Second - time.Since(lost); rest > 0 {
			time.Sleep(rest)
		}
		before := s.seen()
		power(t, "start", node)
		started := time.Now()
		kubectl(t, "wait", "--for=condition=ready", "--timeout=120s", "node/"+node)
		ready(t)
		eventually(t, 2*time.Minute, func() error { return s.beyond(before + int64(40**rate)) })
		t.Logf("results caught up %.1f s after the node's power came back", time.Since(started).Seconds())
		eventually(t, time.Minute, s.fresh)
	})
	soonAcknowledged(t, r)
}

// Where the storage class follows the pod, the database comes back on another node as
// soon as it is said that its own is off: what the runbook says of a lost node.
func TestADatabaseThatIsToldOfItsNodesEndComesBackOnAnother(t *testing.T) {
	long(t)
	harnessed(t)
	anew := func(flags ...string) {
		tool(t, 3*time.Minute, "helm", "uninstall", "popeye", "--namespace", *namespace, "--wait")
		kubectl(t, "delete", "pvc", "--all", "--timeout=120s")
		up(t, flags...)
	}
	anew("--set", "postgres.storage.className=shared")
	t.Cleanup(func() { anew() })
	node := nodeOf(t, "popeye-postgres-0")
	const taint = "node.kubernetes.io/out-of-service"
	t.Cleanup(func() { // before the other one
		_, _ = attempt(time.Minute, "kubectl", "taint", "node", node, taint+"-")
		regain(t, "start", node)
	})
	r := whileVoting(t, func(s *screen) {
		power(t, "stop", node)
		eventually(t, 40*time.Second, s.stale)
		eventually(t, time.Minute, func() error {
			ready := kubectl(t, "get", "node", node, `--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
			if ready == "True" {
				return errors.New("the cluster has not noticed")
			}
			return nil
		})
		before := s.seen()
		kubectl(t, "taint", "node", node, taint+"=nodeshutdown:NoExecute")
		tainted := time.Now()
		eventually(t, 3*time.Minute, func() error { return s.beyond(before + int64(10**rate)) })
		t.Logf("results went on %.1f s after the taint", time.Since(tainted).Seconds())
		eventually(t, time.Minute, s.fresh)
		if now := nodeOf(t, "popeye-postgres-0"); now == node {
			t.Errorf("the database is still on %s", now)
		}
		power(t, "start", node)
		kubectl(t, "wait", "--for=condition=ready", "--timeout=120s", "node/"+node)
		kubectl(t, "taint", "node", node, taint+"-")
		ready(t)
	})
	soonAcknowledged(t, r)
}

// soonAcknowledged says that votes were accepted again within ten seconds of any fault.
func soonAcknowledged(t *testing.T, r drill.Report) {
	t.Helper()
	if r.Silence > 10*time.Second {
		t.Errorf("no vote was acknowledged for %s", r.Silence)
	}
}

// power does something to a node: stop, start, partition or heal it.
func power(t *testing.T, how, node string) {
	t.Helper()
	tool(t, 2*time.Minute, *harness, "node", how, node)
}

// regain makes sure behind a test that a node is there, and spreads the pods again.
func regain(t *testing.T, how, node string) {
	t.Helper()
	if _, err := attempt(2*time.Minute, *harness, "node", how, node); err != nil {
		t.Log(err) // it is
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
