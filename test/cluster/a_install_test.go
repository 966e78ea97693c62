//go:build cluster

package cluster_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The release is reached as voters reach it: through Traefik.
func TestOneCommandLeadsToAFirstCountedVote(t *testing.T) {
	var said string
	install.Do(func() { said = up(t) })
	ready(t)
	took := regexp.MustCompile(`first counted vote after .*`).FindString(said)
	if took == "" {
		t.Fatalf("no vote was counted:\n%s", said)
	}
	t.Log(took)
}

func TestPodsOfARoleStandOnDifferentNodes(t *testing.T) {
	release(t)
	want := map[string]int{"poll": 2, "worker": 2, "result": 2, "admin": 2, "traefik": 2, "redis": 3}
	for component, nodes := range want {
		on := ofPods(t, component, "spec.nodeName")
		slices.Sort(on)
		if on = slices.Compact(on); len(on) < nodes {
			t.Errorf("%s is on %s", component, strings.Join(on, " "))
		}
	}
}

// A Traefik that was just started and knows no route answers everybody 404: nobody
// may be sent to it.
func TestTraefikIsNotReadyWithoutItsRoutes(t *testing.T) {
	long(t)
	kubectl(t, "delete", "ingressroute", "popeye-traefik-ready")
	kubectl(t, "wait", "--for=condition=ready=false", "--timeout=60s", "pod", "--selector=app.kubernetes.io/component=traefik")
	up(t) // makes it again
	ready(t)
}

func TestEveryPodIsAsRestrictedAsItsNamespaceAsks(t *testing.T) {
	release(t)
	if level := kubectl(t, "get", "namespace", *namespace, `--output=jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}`); level != "restricted" {
		t.Errorf("the namespace enforces %q", level)
	}
	// When a namespace is to enforce something else, the API server warns of the pods that
	// stand there and would be refused.
	wanted := func(namespace string) error {
		_, err := attempt(limitOfQuestions, "kubectl", "label", "--dry-run=server", "--overwrite", "--warnings-as-errors", "namespace", namespace,
			"pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/enforce-version=v1.29")
		return err
	}
	if err := wanted(*namespace); err != nil {
		t.Error(err)
	}
	if wanted("kube-system") == nil {
		t.Error("no warning comes of pods that are not restricted")
	}
}

func TestSecretsAreInNoManifestLogOrEnvironment(t *testing.T) {
	release(t)
	secrets := secretValues(t)
	if len(secrets) < 8 {
		t.Fatalf("there are only %d secrets", len(secrets))
	}
	places := map[string]string{
		"the release's manifest": tool(t, limitOfQuestions, "helm", "get", "all", "popeye", "--namespace", *namespace),
		"the objects":            kubectl(t, "get", "pods,deployments,statefulsets,jobs,configmaps,services,cronjobs", "--output=yaml"),
		"the events":             kubectl(t, "get", "events", "--output=yaml"),
	}
	for pod := range strings.FieldsSeq(kubectl(t, "get", "pods", "--output=jsonpath={.items[*].metadata.name}")) {
		places["the log of "+pod] = kubectl(t, "logs", pod, "--all-containers", "--tail=-1")
	}
	for _, component := range []string{"redis", "postgres"} {
		for _, pod := range pods(t, component) {
			places["the environment of "+pod] = kubectl(t, "exec", pod, "--container="+component, "--", "env")
		}
	}
	for place, text := range places {
		for name, value := range secrets {
			if strings.Contains(text, value) {
				t.Errorf("%s is in %s", name, place)
			}
		}
	}
}
