//go:build cluster

package cluster_test

import (
	"fmt"
	"testing"
	"time"
)

func TestDeletingAPodOfAnyRoleFailsNoVote(t *testing.T) {
	release(t)
	for _, component := range []string{"poll", "result", "worker", "admin", "traefik", "redis"} {
		t.Run(component, func(t *testing.T) {
			r := whileVoting(t, func(s *screen) {
				kubectl(t, "delete", "pod", pods(t, component)[0])
				ready(t)
				s.backWithin(t, 5*time.Second)
			})
			noneFailed(t, r)
		})
	}
}

func TestUpgradeOfEveryImageFailsNoVote(t *testing.T) {
	release(t)
	harnessed(t)
	tag := fmt.Sprintf("e2e-%d", time.Now().Unix())
	tool(t, 2*time.Minute, *harness, "load", "-tag", "docker.io/library/popeye:"+tag, "../../dist/popeye-image.tar")
	r := whileVoting(t, func(s *screen) {
		upgrade(t, "image.tag="+tag)
		s.backWithin(t, 5*time.Second)
	})
	// Two cores that start ten pods at once, and share their time with whatever else a
	// check does, let a queue server seem to be away. The short form takes that.
	if !testing.Short() {
		noneFailed(t, r)
	}
}

func TestUpgradeOfTheServersConfigurationLosesNoVote(t *testing.T) {
	long(t)
	r := whileVoting(t, func(*screen) { upgrade(t, "redis.maxmemoryMiB=100", "postgres.resources.limits.memory=600Mi") })
	noneFailed(t, r)
}

// upgrade changes values of the release and waits until all of it is new.
func upgrade(t *testing.T, set ...string) {
	t.Helper()
	args := []string{"upgrade", "popeye", "../../deploy/helm/popeye", "--namespace", *namespace, "--reset-then-reuse-values", "--wait", "--timeout", "5m"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	tool(t, 6*time.Minute, "helm", args...)
	ready(t)
}

func TestDrainingANodeFailsNoVote(t *testing.T) {
	long(t)
	node := besideTheDatabase(t)
	t.Cleanup(func() {
		kubectl(t, "uncordon", node)
		spread(t)
	})
	r := whileVoting(t, func(s *screen) {
		kubectl(t, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")
		s.backWithin(t, 5*time.Second)
	})
	noneFailed(t, r)
}
