//go:build cluster

package cluster_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// secretValues returns every secret word of the release by where it stands.
func secretValues(t *testing.T) map[string]string {
	t.Helper()
	var all struct {
		Items []struct {
			Metadata struct{ Name string }
			Type     string
			Data     map[string]string
		}
	}
	if err := json.Unmarshal([]byte(kubectl(t, "get", "secrets", "--output=json")), &all); err != nil {
		t.Fatal(err)
	}
	words := map[string]string{}
	for _, secret := range all.Items {
		if secret.Type != "Opaque" {
			continue
		}
		for key, value := range secret.Data {
			text, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			for i, word := range strings.Fields(string(text)) {
				words[fmt.Sprintf("%s/%s/%d", secret.Metadata.Name, key, i)] = word
			}
		}
	}
	return words
}

// parts are what may be reached, by component and port.
var parts = map[string]string{"poll": "8080", "worker": "9090", "result": "8080", "admin": "8080", "redis": "6379", "postgres": "5432"}

// arrows are who may reach what: "Who talks to whom" of docs/kubernetes.md.
var arrows = map[string]string{
	"poll":    " redis ",
	"worker":  " redis postgres ",
	"result":  " postgres ",
	"admin":   " postgres ",
	"traefik": " poll result admin api ",
	"redis":   "", "postgres": "", "migrate": " postgres ", "secrets": " api ",
	"stranger": "",
}

// A pod with the labels of a role has the role's network, whatever it runs.
func TestNoForbiddenWayIsOpen(t *testing.T) {
	release(t)
	address := map[string]string{}
	for component := range parts {
		address[component] = ofPods(t, component, "status.podIP")[0]
	}
	for component := range arrows {
		name := "probe-" + component
		kubectl(t, "delete", "pod", name, "--ignore-not-found", "--wait=true")
		t.Cleanup(func() { kubectl(t, "delete", "pod", name, "--ignore-not-found", "--wait=false") })
		tryWays(t, name, component, address)
	}
	for component, open := range arrows {
		name := "probe-" + component
		kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s", "pod/"+name)
		said := kubectl(t, "logs", name)
		for _, target := range append(slices.Collect(maps.Keys(parts)), "api") {
			want := "refused"
			if strings.Contains(open, " "+target+" ") {
				want = "open"
			}
			if !strings.Contains(said, target+" "+want+"\n") {
				t.Errorf("the way from %s to %s is not %s", component, target, want)
			}
		}
	}
}

// tryWays starts a pod with the labels of a role that tries every way. It is never
// ready, so that no Service leads to it.
func tryWays(t *testing.T, name, component string, address map[string]string) {
	t.Helper()
	var script strings.Builder
	// Policies take a moment to hold for a new pod. Not every nc knows -z; a program
	// that it starts for a connection says the same.
	script.WriteString("sleep 5\n")
	for target, port := range parts {
		fmt.Fprintf(&script, "if nc -w 2 %s %s -e true; then echo %s open; else echo %s refused; fi\n", address[target], port, target, target)
	}
	script.WriteString("if nc -w 2 $KUBERNETES_SERVICE_HOST 443 -e true; then echo api open; else echo api refused; fi\n")
	labels := map[string]string{"app.kubernetes.io/name": "popeye", "app.kubernetes.io/instance": "popeye", "app.kubernetes.io/component": component}
	if component == "stranger" {
		labels = map[string]string{"app": "stranger"}
	}
	pod := map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": name, "labels": labels},
		"spec": map[string]any{
			// The scheduler would find no node for a pod that looks like one more Redis.
			"nodeName":      nodeOf(t, "popeye-postgres-0"),
			"restartPolicy": "Never", "automountServiceAccountToken": false,
			"securityContext": map[string]any{"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": map[string]any{"type": "RuntimeDefault"}},
			"containers": []any{map[string]any{
				"name": "probe", "image": "busybox:1", "command": []string{"sh", "-c", script.String()},
				"securityContext": map[string]any{"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []string{"ALL"}}},
				"readinessProbe":  map[string]any{"exec": map[string]any{"command": []string{"false"}}},
			}},
			"tolerations": []any{map[string]any{"operator": "Exists"}},
		},
	}
	file := t.TempDir() + "/" + name + ".json"
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "apply", "--filename", file)
}
