package helm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// matches reports whether a peer or a selector of a policy means a component.
func matches(selector object, component string) bool {
	if selector == nil {
		return false
	}
	labels := selector.object("matchLabels")
	if len(labels) == 0 {
		return true
	}
	return labels["app.kubernetes.io/component"] == component
}

// home is the namespace that a component stands in.
func home(component string) string {
	if component == "cadvisor" {
		return namespace + "-cadvisor"
	}
	return namespace
}

// allows reports whether the rules of one direction, of a policy in a namespace, let a
// component through at a port.
func allows(rules []object, within, direction, component string, port int) bool {
	for _, rule := range rules {
		peer := slices.ContainsFunc(rule.list(direction), func(p object) bool {
			meant := within
			if p["namespaceSelector"] != nil {
				meant, _ = p.object("namespaceSelector.matchLabels")["kubernetes.io/metadata.name"].(string)
			}
			return meant == home(component) && matches(p.object("podSelector"), component)
		})
		open := slices.ContainsFunc(rule.list("ports"), func(p object) bool { return p["port"] == port })
		if peer && open {
			return true
		}
	}
	return false
}

// arrows returns who may talk to whom, in the words "poll > redis:6379".
func arrows(objects []object, components []string, ports []int) []string {
	may := func(direction, of, peer string, port int) bool {
		return slices.ContainsFunc(objects, func(o object) bool {
			rules, to := "ingress", "from"
			if direction == "egress" {
				rules, to = "egress", "to"
			}
			within := o.text("metadata.namespace")
			return o.kind() == "NetworkPolicy" && within == home(of) && matches(o.object("spec.podSelector"), of) &&
				allows(o.list("spec."+rules), within, to, peer, port)
		})
	}
	var all []string
	for _, from := range components {
		for _, to := range components {
			for _, port := range ports {
				if may("egress", from, to, port) && may("ingress", to, from, port) {
					all = append(all, fmt.Sprintf("%s > %s:%d", from, to, port))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestPartsTalkToWhomTheyHaveToAndNobodyElse(t *testing.T) {
	t.Parallel()
	objects := render(t, "backup.enabled=true")
	components := []string{
		"poll", "worker", "result", "admin", "redis", "postgres", "migrate", "secrets", "backup", "verify", "test", "traefik",
		"prometheus", "redis-exporter", "postgres-exporter", "cadvisor", "stranger",
	}
	got := arrows(objects, components, []int{80, 5432, 6379, 8080, 8082, 9090, 9121, 9187, 16379})
	want := strings.Split(strings.TrimSpace(`
admin > postgres:5432
backup > postgres:5432
migrate > postgres:5432
poll > redis:6379
postgres-exporter > postgres:5432
prometheus > admin:9090
prometheus > cadvisor:8080
prometheus > poll:9090
prometheus > postgres-exporter:9187
prometheus > redis-exporter:9121
prometheus > result:9090
prometheus > traefik:8082
prometheus > worker:9090
redis-exporter > redis:6379
result > postgres:5432
test > admin:8080
test > poll:8080
test > result:8080
traefik > admin:8080
traefik > poll:8080
traefik > result:8080
verify > postgres:5432
verify > redis:6379
worker > postgres:5432
worker > redis:6379`), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("they talk so:\n%s\nand should so:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	deny := find(t, objects, "NetworkPolicy", "popeye-default-deny")
	if len(deny.object("spec.podSelector")) != 0 || !slices.Equal(deny.texts("spec.policyTypes"), []string{"Ingress", "Egress"}) ||
		deny.at("spec.ingress") != nil || deny.at("spec.egress") != nil {
		t.Errorf("what is not named is not denied: %v", deny.object("spec"))
	}
}

// To Kubernetes an empty list of peers, or of ports, is every one there is.
func TestAnEmptyListAdmitsNobody(t *testing.T) {
	t.Parallel()
	for _, settings := range [][]string{
		{},
		{"prometheus.enabled=false", "networkPolicy.metricsFrom=null"},
		{"monitors.enabled=true", "postgres.mode=cloudnative-pg"},
		{"traefik.enabled=false", "networkPolicy.ingressFrom=null"},
		{"redis.mode=external", "redis.external.urls={redis://a:6379}", "redis.copies=1", "redis.external.cidrs=null"},
		{"redis.mode=external", "redis.external.urls={redis://a:6379}", "redis.copies=1", "redis.external.ports=null"},
		{"postgres.mode=external", "postgres.external.host=a", "postgres.external.superuserSecret.name=a", "postgres.external.cidrs=null"},
		{"backup.enabled=true", "backup.upload.enabled=true", "backup.upload.image=a", "backup.upload.cidrs=null"},
		{"networkPolicy.apiServerPorts=null"},
	} {
		objects, err := try(t, settings...)
		if err != nil {
			continue // refused
		}
		for _, o := range objects {
			if o.kind() != "NetworkPolicy" {
				continue
			}
			for _, rule := range append(o.list("spec.ingress"), o.list("spec.egress")...) {
				for _, key := range []string{"from", "to", "ports"} {
					if _, isThere := rule[key]; isThere && len(rule.list(key)) == 0 {
						t.Errorf("with %q, %s has a rule whose %q is empty: %v", settings, o.name(), key, rule)
					}
				}
			}
		}
	}
}
