//go:build cluster

package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// forward makes a port of the release reachable on loopback, and returns its URL.
func forward(t *testing.T, what, port string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, "kubectl", "--namespace", *namespace, "port-forward", "--address=127.0.0.1", what, ":"+port)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // it was told to end
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Forwarding from "); ok {
			return "http://" + strings.Fields(rest)[0]
		}
	}
	t.Fatalf("port %s of %s is not forwarded", port, what)
	return ""
}

// query asks Prometheus, and returns the values by those of a label.
func query(prometheus, promQL, label string) (map[string]float64, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(promQL))
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var said struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
		Error string
	}
	if err := json.NewDecoder(response.Body).Decode(&said); err != nil || said.Error != "" {
		return nil, fmt.Errorf("%s: %s, %w", promQL, said.Error, err)
	}
	values := map[string]float64{}
	for _, r := range said.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		values[r.Metric[label]] += value
	}
	return values, nil
}

func TestPrometheusSeesEveryPartAndEveryContainer(t *testing.T) {
	release(t)
	kubectl(t, "rollout", "status", "deployment/popeye-prometheus", "--timeout=180s")
	prometheus := forward(t, "service/popeye-prometheus", "9090")
	nodes := strings.Fields(tool(t, limitOfQuestions, "kubectl", "get", "nodes", "--output=jsonpath={.items[*].metadata.name}"))
	var all []string
	for _, role := range roles {
		all = append(all, pods(t, role)...)
	}
	servers := []string{"popeye-redis-0", "popeye-redis-1", "popeye-redis-2"}
	for _, c := range []struct {
		what, promQL, label string
		want                []string
	}{
		{"every pod of every role", `up{job="popeye"} == 1`, "pod", all},
		{"what the roles tell", `popeye_queue_puts_total > 0`, "role", []string{"poll"}},
		{"Traefik", `up{job="traefik"} == 1`, "pod", pods(t, "traefik")},
		{"Traefik's requests", `traefik_service_requests_total > 0`, "code", []string{"200"}},
		{"every queue server", `label_replace(redis_up == 1, "server", "$1", "instance", "([^.]*).*")`, "server", servers},
		{"their persistence", `label_replace(redis_aof_enabled == 1, "server", "$1", "instance", "([^.]*).*")`, "server", servers},
		{"the database", `pg_up == 1`, "job", []string{"postgres"}},
		{"every node's cAdvisor", `up{job="cadvisor"} == 1`, "node", nodes},
		{"every container", `container_memory_working_set_bytes{namespace="` + *namespace + `"} > 0`, "pod", append(slices.Clone(all), servers...)},
		{"their CPU", `container_cpu_usage_seconds_total{namespace="` + *namespace + `"} > 0`, "container", append(slices.Clone(roles), "redis", "postgres", "traefik")},
	} {
		t.Run(c.what, func(t *testing.T) {
			eventually(t, 90*time.Second, func() error {
				got, err := query(prometheus, c.promQL, c.label)
				if err != nil {
					return err
				}
				for _, one := range c.want {
					if _, ok := got[one]; !ok {
						return fmt.Errorf("%s is seen of %v, and not of %s", c.promQL, slices.Sorted(maps.Keys(got)), one)
					}
				}
				return nil
			})
		})
	}
}
