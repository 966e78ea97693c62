package helm

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"popeye/internal/config"
)

// own reports whether a container is Popeye itself.
func own(container object) bool {
	return strings.HasPrefix(container.text("image"), "popeye:")
}

func TestEveryProcessAcceptsItsSettings(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	for _, name := range []string{"voter-keys", "cookie-keys", "admin-token", "redis-password", "postgres-password"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(strings.Repeat("0", 64)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, settings := range [][]string{
		nil,
		{"backup.enabled=true"},
		{"postgres.mode=cloudnative-pg"},
		{"postgres.mode=external", "postgres.external.host=db.example.com", "postgres.external.superuserSecret.name=boss"},
		{"redis.mode=external", "redis.external.urls={rediss://q1:6379,rediss://q2:6379,rediss://q3:6379}", "redis.durability=managed"},
		{"redis.servers=5", "redis.copies=3"},
	} {
		commands := map[string]int{}
		for _, p := range pods(render(t, settings...)) {
			for _, c := range p.containers() {
				if !own(c) {
					continue
				}
				args := c.texts("args")
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "/etc/popeye/secrets", secrets)
				}
				cli, command, err := config.Parse(config.Environment{Args: args, Getenv: func(string) string { return "" }})
				if err != nil {
					t.Errorf("%v: %s of %s: %v", settings, c.text("name"), p.owner.name(), err)
					continue
				}
				commands[command]++
				checkAddresses(t, cli, command)
			}
		}
		for _, command := range []string{"poll", "worker", "result", "admin", "migrate", "secrets", "load", "replay"} {
			if commands[command] != 1 {
				t.Errorf("%v: %d containers run %q", settings, commands[command], command)
			}
		}
	}
}

// checkAddresses makes sure that a role listens where its Service and its probes
// expect it.
func checkAddresses(t *testing.T, cli *config.CLI, command string) {
	t.Helper()
	serving := map[string]config.Serving{"poll": cli.Poll.Serving, "result": cli.Result.Serving, "admin": cli.Admin.Serving}
	if s, ok := serving[command]; ok && (s.Listen != ":8080" || s.OpsAddr != ":9090" || s.Drain == 0) {
		t.Errorf("%s listens on %s and %s and drains for %s", command, s.Listen, s.OpsAddr, s.Drain)
	}
	if command == "worker" && cli.Worker.OpsAddr != ":9090" {
		t.Errorf("worker listens on %s", cli.Worker.OpsAddr)
	}
}

func TestRolesSurviveUpdatesAndDrains(t *testing.T) {
	t.Parallel()
	objects := render(t)
	for _, role := range []string{"poll", "worker", "result", "admin"} {
		d := find(t, objects, "Deployment", "popeye-"+role)
		update := d.object("spec.strategy.rollingUpdate")
		if update["maxUnavailable"] != 0 || update["maxSurge"] != 1 {
			t.Errorf("%s is updated by %v", role, update)
		}
		for _, c := range d.list("spec.template.spec.topologySpreadConstraints") {
			if c.text("whenUnsatisfiable") != "ScheduleAnyway" {
				t.Errorf("%s is spread so that an update may hang: %v", role, c)
			}
		}
		c := d.list("spec.template.spec.containers")[0]
		for probe, path := range map[string]string{"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"} {
			if got := c.object(probe + ".httpGet"); got["path"] != path || got["port"] != "ops" {
				t.Errorf("%s's %s is %v", role, probe, c.object(probe))
			}
		}
		if budget := find(t, objects, "PodDisruptionBudget", "popeye-"+role); budget.at("spec.maxUnavailable") != 1 {
			t.Errorf("%s's budget is %v", role, budget.object("spec"))
		}
		replicas, has := d.object("spec")["replicas"]
		scaled := slices.ContainsFunc(objects, func(o object) bool {
			return o.kind() == "HorizontalPodAutoscaler" && o.name() == "popeye-"+role
		})
		if scaled == has || has && replicas != 2 {
			t.Errorf("%s has %v replicas; it is scaled: %v", role, replicas, scaled)
		}
		drain := 0
		for _, arg := range c.texts("args") {
			if text, ok := strings.CutPrefix(arg, "--drain="); ok {
				drain, _ = strconv.Atoi(strings.TrimSuffix(text, "s"))
			}
		}
		// shutdownGrace is 15 s, for requests and then for what is behind them.
		if grace, _ := d.at("spec.template.spec.terminationGracePeriodSeconds").(int); grace < drain+30 {
			t.Errorf("%s has %d s to end, and drains for %d", role, grace, drain)
		}
	}
	if budget := find(t, objects, "PodDisruptionBudget", "popeye-redis"); budget.at("spec.maxUnavailable") != 1 {
		t.Errorf("the queue's budget is %v", budget.object("spec"))
	}
	for _, o := range objects {
		if o.kind() == "PodDisruptionBudget" && o.component() == "postgres" {
			t.Error("the one database has a budget, which can only stop a drain")
		}
	}
}

func TestEveryPodIsRestricted(t *testing.T) {
	t.Parallel()
	volumes := []string{"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
	for _, settings := range append([]string{"backup.enabled=true"}, valuesFiles(t)...) {
		for _, p := range pods(render(t, settings)) {
			where := settings + ": " + p.owner.name()
			security := p.spec.object("securityContext")
			// cAdvisor reads its node's files as root, and stands in a namespace of its own.
			apart := p.component() == "cadvisor" && p.owner.text("metadata.namespace") == namespace+"-cadvisor"
			if security["runAsNonRoot"] != true && !apart || security.text("seccompProfile.type") != "RuntimeDefault" {
				t.Errorf("%s: %v", where, security)
			}
			if token := p.spec["automountServiceAccountToken"]; token != false && !slices.Contains([]string{"secrets", "traefik", "prometheus"}, p.component()) {
				t.Errorf("%s has a token of the API server", where)
			}
			for _, v := range p.spec.list("volumes") {
				for key := range v {
					if key != "name" && !slices.Contains(volumes, key) && !apart {
						t.Errorf("%s has a volume of the node: %v", where, v)
					}
				}
			}
			for _, c := range p.containers() {
				checkContainer(t, where, c)
			}
		}
	}
}

func checkContainer(t *testing.T, where string, c object) {
	t.Helper()
	security := c.object("securityContext")
	if security["allowPrivilegeEscalation"] != false || security["readOnlyRootFilesystem"] != true ||
		!slices.Equal(security.texts("capabilities.drop"), []string{"ALL"}) || security["privileged"] != nil {
		t.Errorf("%s, %s: %v", where, c.text("name"), security)
	}
	for _, kind := range []string{"requests", "limits"} {
		for _, resource := range []string{"cpu", "memory"} {
			if c.at("resources."+kind+"."+resource) == nil {
				t.Errorf("%s, %s: no %s of %s", where, c.text("name"), kind, resource)
			}
		}
	}
	for _, variable := range c.list("env") {
		if name := variable.text("name"); strings.Contains(name, "PASSWORD") && !strings.HasSuffix(name, "_FILE") || variable["valueFrom"] != nil && variable.at("valueFrom.secretKeyRef") != nil {
			t.Errorf("%s, %s: a secret is in the environment: %s", where, c.text("name"), name)
		}
	}
}

func TestNoSecretIsInAManifest(t *testing.T) {
	t.Parallel()
	for _, file := range valuesFiles(t) {
		objects := render(t, file)
		for _, o := range objects {
			if o.kind() == "Secret" {
				t.Errorf("%s: %s is rendered: whoever reads manifests reads it", file, o.name())
			}
		}
		if again := fmt.Sprint(render(t, file)); again != fmt.Sprint(objects) {
			t.Errorf("%s: the chart answers differently twice", file)
		}
	}
}

func TestSecretsThatAreGivenAreUsed(t *testing.T) {
	t.Parallel()
	objects := render(t, "poll.existingSecret=ours")
	text := fmt.Sprint(find(t, objects, "Deployment", "popeye-poll"))
	if !strings.Contains(text, "secretName:ours") || strings.Contains(text, "secretName:popeye-poll") {
		t.Errorf("poll uses %s", text)
	}
	job := find(t, objects, "Job", "popeye-secrets-1").list("spec.template.spec.containers")[0]
	if !slices.Contains(job.texts("args"), "--given=poll=ours") {
		t.Errorf("the job is told %v", job.texts("args"))
	}
	role := fmt.Sprint(find(t, objects, "Role", "popeye-secrets"))
	if !strings.Contains(role, "ours") || strings.Contains(role, "popeye-poll") {
		t.Errorf("the job may read %s", role)
	}
}

// amount returns a quantity of CPU in thousandths, or of memory in MiB.
func amount(t *testing.T, quantity any) int {
	t.Helper()
	match := regexp.MustCompile(`^([0-9.]+)(m|Mi|Gi|)$`).FindStringSubmatch(fmt.Sprint(quantity))
	if match == nil {
		t.Fatalf("what is %v?", quantity)
	}
	n, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	switch match[2] {
	case "":
		n *= 1000
	case "Gi":
		n *= 1024
	}
	return int(n)
}

func TestDefaultReleaseFitsALaptop(t *testing.T) {
	t.Parallel()
	const nodes = 3
	cpu, memory := 0, 0
	for _, p := range pods(render(t)) {
		count, ok := p.owner.at("spec.replicas").(int)
		switch {
		case p.owner.kind() == "DaemonSet":
			count = nodes
		case p.component() == "test":
			count = 0
		case p.owner.kind() == "Job":
			count = 1
		case p.owner.kind() == "CronJob": // suspended, until it is needed
			count = 0
		case !ok: // an autoscaler says how many
			count = 2
		}
		podCPU, podMemory := 0, 0
		for _, c := range p.spec.list("containers") {
			podCPU += amount(t, c.at("resources.requests.cpu"))
			podMemory += amount(t, c.at("resources.requests.memory"))
		}
		cpu += count * podCPU
		memory += count * podMemory
	}
	t.Logf("it requests %d thousandths of a CPU and %d MiB", cpu, memory)
	if cpu >= 1000 || memory >= 1536 {
		t.Errorf("it requests %d thousandths of a CPU and %d MiB", cpu, memory)
	}
}

func TestQueueServersHaveRoomAndNodesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, file := range valuesFiles(t) {
		objects := render(t, file)
		set := find(t, objects, "StatefulSet", "popeye-redis")
		conf, _ := find(t, objects, "ConfigMap", "popeye-redis").object("data")["redis.conf"].(string)
		match := regexp.MustCompile(`(?m)^maxmemory (\d+)mb$`).FindStringSubmatch(conf)
		if match == nil {
			t.Fatalf("%s: no maxmemory in %s", file, conf)
		}
		most, _ := strconv.Atoi(match[1])
		limit := amount(t, set.list("spec.template.spec.containers")[0].at("resources.limits.memory"))
		disk := amount(t, set.list("spec.volumeClaimTemplates")[0].at("spec.resources.requests.storage"))
		if limit < 2*most || disk < 3*most {
			t.Errorf("%s: maxmemory is %d MiB, the limit %d, the volume %d", file, most, limit, disk)
		}
		for _, line := range []string{"appendonly yes", "appendfsync always", "no-appendfsync-on-rewrite no", "maxmemory-policy noeviction"} {
			if !strings.Contains("\n"+conf, "\n"+line+"\n") {
				t.Errorf("%s: redis.conf lacks %q", file, line)
			}
		}
		apart := set.list("spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution")
		if len(apart) != 1 || apart[0].text("topologyKey") != "kubernetes.io/hostname" {
			t.Errorf("%s: they are kept apart by %v", file, apart)
		}
		if retention := set.object("spec.persistentVolumeClaimRetentionPolicy"); retention["whenDeleted"] != "Retain" {
			t.Errorf("%s: volumes are kept by %v", file, retention)
		}
	}
}

// What answers the readiness probe is a route like the others: without them Traefik
// answers everybody 404.
func TestTraefikIsReadyOnlyWithItsRoutes(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{"", "route.kind=Ingress"} {
		objects := render(t, settings)
		route := find(t, objects, "IngressRoute", "popeye-traefik-ready")
		traefik := find(t, objects, "Deployment", "popeye-traefik").list("spec.template.spec.containers")[0]
		if probe := traefik.object("readinessProbe.httpGet"); probe["path"] != "/ping" || probe["port"] != "metrics" {
			t.Errorf("%s: Traefik is ready by %v", settings, probe)
		}
		if !slices.Contains(traefik.texts("args"), "--ping.manualrouting=true") {
			t.Errorf("%s: Traefik answers the probe by itself", settings)
		}
		rule := route.list("spec.routes")[0]
		if rule["match"] != "Path(`/ping`)" || rule.list("services")[0]["name"] != "ping@internal" || !slices.Equal(route.texts("spec.entryPoints"), []string{"metrics"}) {
			t.Errorf("%s: the route is %v", settings, route["spec"])
		}
	}
}

func TestJobsAreNoHooksAndHaveTheNameOfTheirRevision(t *testing.T) {
	t.Parallel()
	for _, o := range render(t) {
		hook := o.object("metadata.annotations")["helm.sh/hook"]
		if o.kind() == "Job" && (hook != nil || !strings.HasSuffix(o.name(), "-1")) {
			t.Errorf("the job %s is a hook: %v", o.name(), hook)
		}
	}
}

func TestWhatIsMisspeltOrCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{
		"poll.replcias=3", "prometheus.enable=true", "cadvisor.namespace=popeye", "poll.replicas=0", "poll.resources.limits.memory=1GB", "redis.servers=2", "redis.copies=1",
		"redis.servers=1", "redis.copies=4", "redis.users.poll=somebody", "redis.mode=external,redis.external.urls={redis://a:1}", "traefik.drainSeconds=-1",
		"redis.storage.size=128Mi", "redis.mode=cluster", "redis.mode=external", "postgres.mode=mysql", "postgres.mode=external",
		"nothing=1", "networkPolicy.apiServerPorts={0}", "redis.external.urls={redis://user:password@host:1}",
	} {
		if _, err := try(t, settings); err == nil {
			t.Errorf("%s is taken", settings)
		}
	}
}

// Also where every queue server is needed, a node can be drained.
func TestNoBudgetKeepsANodeFromBeingDrained(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{"", "redis.servers=1,redis.copies=1", "redis.copies=3", "redis.servers=5,redis.copies=3"} {
		for _, o := range render(t, settings) {
			if o.kind() != "PodDisruptionBudget" {
				continue
			}
			away := fmt.Sprint(o.object("spec")["maxUnavailable"])
			if n, err := strconv.Atoi(away); err != nil || n < 1 {
				t.Errorf("%s: of %s %s may be away", settings, o.name(), away)
			}
		}
	}
}

func TestFilesAreThoseOfTheDocumentation(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"redis-acl.txt", "postgres-roles.sql"} {
		want, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(chart, "files", name))
		if err != nil || string(got) != string(want) {
			t.Errorf("files/%s is not docs/%s: copy it (%v)", name, name, err)
		}
	}
}

func TestSettingsInTheDocumentationExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`--set '?([a-zA-Z][^ \n'`+"`"+`]*=[^ \n'`+"`"+`]+)`).FindAllStringSubmatch(string(text), -1)
	if len(found) < 8 {
		t.Fatalf("found %v", found)
	}
	for _, match := range found {
		if _, err := try(t, match[1]); err != nil {
			t.Errorf("--set %s: %v", match[1], err)
		}
	}
	for _, match := range regexp.MustCompile(`cronjob/([a-z-]+)`).FindAllStringSubmatch(string(text), -1) {
		find(t, render(t, "backup.enabled=true"), "CronJob", match[1])
	}
}
