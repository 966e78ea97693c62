package compose

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// kind returns what a service is one of: poll for poll-2, job for what ends.
func kind(s types.ServiceConfig) string {
	if isJob(s) {
		return "job"
	}
	return regexp.MustCompile(`-\d+$`).ReplaceAllString(s.Name, "")
}

// share reports whether two services can talk to each other.
func share(a, b types.ServiceConfig) bool {
	for network := range a.Networks {
		if _, ok := b.Networks[network]; ok {
			return true
		}
	}
	return false
}

// talk returns which kinds of services can talk to which others.
func talk(p *types.Project) []string {
	pairs := map[string]bool{}
	for _, a := range p.Services {
		for _, b := range p.Services {
			if kind(a) < kind(b) && share(a, b) {
				pairs[kind(a)+" "+kind(b)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(pairs))
}

func TestNobodyTalksToWhomTheyNeedNot(t *testing.T) {
	t.Parallel()
	want := []string{
		// Those outside.
		"poll traefik", "result traefik", "admin traefik",
		// The roles: poll never reaches the database, result and admin never the
		// queue, and nobody the worker.
		"poll redis", "redis worker", "postgres worker", "postgres result", "admin postgres", "job postgres",
		// Whoever looks after them.
		"poll prometheus", "prometheus worker", "prometheus result", "admin prometheus",
		"prometheus traefik", "cadvisor prometheus",
	}
	slices.Sort(want)
	for i, pair := range want { // as talk has them
		words := strings.Fields(pair)
		slices.Sort(words)
		want[i] = strings.Join(words, " ")
	}
	slices.Sort(want)
	if got := talk(load(t)); !slices.Equal(got, want) {
		t.Errorf("these can talk to each other:\n%s\nand these should:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOnlyWhoPublishesAPortCanReachTheWorld(t *testing.T) {
	t.Parallel()
	project := load(t)
	for name, s := range project.Services {
		for network := range s.Networks {
			if !project.Networks[network].Internal && len(s.Ports) == 0 {
				t.Errorf("%s has a way out by %s", name, network)
			}
		}
		if len(s.Networks) == 0 {
			t.Errorf("%s is on the network that everybody is on", name)
		}
	}
}

func TestEveryAddressIsOneThatCanBeReached(t *testing.T) {
	t.Parallel()
	project := load(t)
	reach := func(from, host string) {
		t.Helper()
		to, ok := project.Services[host]
		if !ok || !share(project.Services[from], to) {
			t.Errorf("%s cannot reach %s", from, host)
		}
	}
	addresses := regexp.MustCompile(`(redis|postgres)://[^\s]+`)
	for name, s := range project.Services {
		for _, found := range addresses.FindAllString(strings.Join(s.Command, " "), -1) {
			u, err := url.Parse(found)
			if err != nil {
				t.Fatal(err)
			}
			reach(name, u.Hostname())
		}
		if host := s.Environment["PGHOST"]; host != nil {
			reach(name, *host)
		}
	}
	for _, service := range readRoutes(t).HTTP.Services {
		for _, server := range service.LoadBalancer.Servers {
			u, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			reach("traefik", u.Hostname())
		}
	}
	for _, target := range readTargets(t) {
		host, _, _ := strings.Cut(target, ":")
		if host != "localhost" {
			reach("prometheus", host)
		}
	}
}

func TestPrometheusAsksEveryPartThatHasMetrics(t *testing.T) {
	t.Parallel()
	project, targets := load(t), readTargets(t)
	for _, s := range own(project) {
		if !isJob(s) && !slices.Contains(targets, s.Name+":9090") {
			t.Errorf("%s is not asked", s.Name)
		}
	}
	for _, target := range []string{"traefik:8082", "cadvisor:8080", "localhost:9090"} {
		if !slices.Contains(targets, target) {
			t.Errorf("%s is not asked", target)
		}
	}
}

// readTargets returns whom Prometheus asks.
func readTargets(t *testing.T) []string {
	t.Helper()
	var cfg struct {
		ScrapeConfigs []struct {
			JobName string `yaml:"job_name"`
			Static  []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	read(t, "prometheus.yaml", &cfg)
	var targets []string
	for _, job := range cfg.ScrapeConfigs {
		for _, group := range job.Static {
			targets = append(targets, group.Targets...)
		}
	}
	return targets
}
