//go:build cluster

// Package cluster_test holds the whole system to its promises on a real cluster of
// several nodes: scripts/cluster-up installs it there, kubectl and helm break it, and
// what voters were told is compared with what was counted. See make e2e.
//
// The tests share one release and run one after the other. Each waits for facts, and
// leaves the release whole.
package cluster_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"popeye/internal/client"
	"popeye/internal/drill"
)

var (
	namespace = flag.String("namespace", "popeye", "namespace of the release")
	address   = flag.String("url", cmp.Or(os.Getenv("URL"), "http://127.0.0.1:18080"), "address of Traefik's Service")
	harness   = flag.String("harness", cmp.Or(os.Getenv("CLUSTER"), "none"), "program that gives and takes the power of nodes, or none")
	rate      = flag.Float64("rate", 200, "votes a second while something is done to the cluster; half of it in the short form")
)

// roles are the parts that are Deployments of the image.
var roles = []string{"poll", "worker", "result", "admin"}

// limitOfQuestions bounds what only asks.
const limitOfQuestions = time.Minute

var (
	install sync.Once
	token   string
)

// release makes sure that Popeye is installed and whole.
func release(t *testing.T) {
	t.Helper()
	install.Do(func() { up(t) })
	if token == "" {
		t.Fatal("Popeye could not be installed")
	}
	ready(t)
}

// long is release for a test that is not in the short form.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("not in the short form")
	}
	release(t)
}

// harnessed skips a test that loads images or takes the power of nodes where that
// cannot be.
func harnessed(t *testing.T) {
	t.Helper()
	if *harness == "none" {
		t.Skip("there is no harness")
	}
}

// up installs Popeye, or brings it back to what the tests begin with, and returns
// what the script says.
func up(t *testing.T, flags ...string) string {
	t.Helper()
	// All voters of a test have the same address, so that it may cast more.
	flags = append([]string{"--set", "route.rateLimit.average=5000", "--set", "route.rateLimit.burst=5000"}, flags...)
	said := tool(t, 8*time.Minute, "../../scripts/cluster-up", flags...)
	secret, err := base64.StdEncoding.DecodeString(kubectl(t, "get", "secret", "popeye-admin", "--output", "jsonpath={.data.admin-token}"))
	if err != nil {
		t.Fatal(err)
	}
	token = strings.TrimSpace(string(secret))
	return said
}

// ready waits until every part is whole.
func ready(t *testing.T) {
	t.Helper()
	for _, what := range []string{
		"statefulset/popeye-redis", "statefulset/popeye-postgres",
		"deployment/popeye-poll", "deployment/popeye-worker", "deployment/popeye-result", "deployment/popeye-admin", "deployment/popeye-traefik",
	} {
		kubectl(t, "rollout", "status", what, "--timeout=180s")
	}
}

// attempt runs a program and returns what it says.
func attempt(limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var out, diagnosis bytes.Buffer
	command := exec.CommandContext(ctx, name, args...)
	command.Stdout, command.Stderr = &out, &diagnosis
	command.WaitDelay = time.Second
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), errors.Join(err, ctx.Err()), out.String(), diagnosis.String())
	}
	return out.String(), nil
}

// tool runs a program that has to succeed.
func tool(t *testing.T, limit time.Duration, name string, args ...string) string {
	t.Helper()
	said, err := attempt(limit, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return tool(t, 4*time.Minute, "kubectl", append([]string{"--namespace", *namespace}, args...)...)
}

// ofPods returns a field of each of a part's pods that run.
func ofPods(t *testing.T, component, field string) []string {
	t.Helper()
	return strings.Fields(kubectl(t, "get", "pods", "--selector=app.kubernetes.io/component="+component,
		`--output=jsonpath={.items[?(@.status.phase=="Running")].`+field+"}"))
}

// pods returns the names of a part's pods that run.
func pods(t *testing.T, component string) []string {
	t.Helper()
	return ofPods(t, component, "metadata.name")
}

// nodeOf returns the node of a pod.
func nodeOf(t *testing.T, pod string) string {
	t.Helper()
	return kubectl(t, "get", "pod", pod, "--output=jsonpath={.spec.nodeName}")
}

// besideTheDatabase returns a worker node with a queue server on which the database is
// not: that is one pod, and away for a moment when it moves.
func besideTheDatabase(t *testing.T) string {
	t.Helper()
	servers := ofPods(t, "redis", "spec.nodeName")
	for node := range strings.FieldsSeq(kubectl(t, "get", "nodes", "--selector=!node-role.kubernetes.io/control-plane", "--output=jsonpath={.items[*].metadata.name}")) {
		if node != nodeOf(t, "popeye-postgres-0") && slices.Contains(servers, node) {
			return node
		}
	}
	t.Fatalf("queue servers are on %s only", servers)
	return ""
}

// spread lets the pods, which stay where they went, stand on all nodes again.
func spread(t *testing.T) {
	t.Helper()
	ready(t)
	for _, role := range append([]string{"traefik"}, roles...) {
		kubectl(t, "rollout", "restart", "deployment/popeye-"+role)
	}
	ready(t)
}

// eventually tries until it works.
func eventually(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", limit, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// whileVoting casts votes and follows the results while something is done, and
// compares at the end what voters were told with what was counted.
func whileVoting(t *testing.T, do func(s *screen)) drill.Report {
	t.Helper()
	ctx := t.Context()
	before := polls(t)
	enough := make(chan struct{})
	type end struct {
		report drill.Report
		err    error
	}
	over := make(chan end, 1)
	go func() {
		report, err := drill.Run(ctx, drill.Config{
			Seed: 1, Votes: drill.MaxVotes, Duration: 30 * time.Minute, Rate: *rate, Plan: "quiet", Dir: journalDir(t),
			Server: *address, Token: token, Timeout: 10 * time.Second, Patience: 2 * time.Minute, Enough: enough,
		})
		over <- end{report, err}
	}()
	stop := sync.OnceFunc(func() { close(enough) })
	defer stop()
	s := watch(t, newPoll(t, before))
	time.Sleep(3 * time.Second)
	began := time.Now()
	do(s)
	t.Logf("done after %.1f s", time.Since(began).Seconds())
	time.Sleep(3 * time.Second)
	stop()
	e := <-over
	s.close()
	if e.err != nil {
		t.Fatal(e.err)
	}
	t.Logf("\n%s%s", e.report.String(), s)
	if !e.report.OK() || e.report.Unknown != 0 || len(e.report.Refused) != 0 {
		t.Errorf("votes were lost, doubled, invented, refused, or their fate is not known")
	}
	if s.backwards {
		t.Error("results went backwards")
	}
	return e.report
}

// journalDir is where the drill keeps its journal: in memory, if the machine offers
// that. Its writes would otherwise wait in one queue with those of the cluster's disks,
// which are this machine's too, and took a third of a core at 200 votes a second.
func journalDir(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("/dev/shm", "popeye-drill-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

// noneFailed says that no voter had to try again.
func noneFailed(t *testing.T, r drill.Report) {
	t.Helper()
	if len(r.Again) != 0 {
		t.Errorf("votes failed: %v", r.Again)
	}
}

func organiser() *client.Client { return client.New(*address, token) }

// polls returns the polls that there are.
func polls(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	eventually(t, 30*time.Second, func() error {
		all, err := organiser().List(t.Context())
		for _, p := range all {
			known[p.ID] = true
		}
		return err
	})
	return known
}

// newPoll waits for the poll that a drill votes in.
func newPoll(t *testing.T, before map[string]bool) string {
	t.Helper()
	var found string
	eventually(t, time.Minute, func() error {
		for id := range polls(t) {
			if !before[id] && strings.HasSuffix(id, "-first") {
				found = id
				return nil
			}
		}
		return errors.New("there is no new poll")
	})
	return found
}

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("KUBECONFIG") == "" { // what is done here must not be done to whatever kubectl finds
		fmt.Fprintln(os.Stderr, "KUBECONFIG has to name the cluster: see scripts/cluster-test")
		os.Exit(2)
	}
	if testing.Short() { // which shares its two cores with whatever else a check does
		*rate /= 2
	}
	os.Exit(m.Run())
}
