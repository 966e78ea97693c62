// Package compose holds what compose.yaml needs, and tests what it says: nobody
// needs a container engine for that.
package compose

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"popeye/internal/config"
)

const (
	root       = "../.."
	ownImage   = "popeye:local"
	secretsDir = "/run/secrets/"
)

// load reads compose.yaml as Docker does where nothing is set in the environment
// but env.
func load(t *testing.T, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "compose.yaml")},
		cli.WithWorkingDirectory(root), cli.WithEnv(env), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// makeSecrets returns a folder with what "make secrets" makes.
func makeSecrets(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	runScript(t, dir)
	return dir
}

func runScript(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(root, "scripts", "secrets"), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("scripts/secrets: %v\n%s", err, out)
	}
	return string(out)
}

// arguments returns what a process of Popeye is started with, with its secrets in
// a folder of this machine.
func arguments(s types.ServiceConfig, secrets string) []string {
	args := slices.Clone([]string(s.Command))
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], secretsDir, secrets+"/")
	}
	return args
}

func parse(s types.ServiceConfig, args []string) (*config.CLI, string, error) {
	return config.Parse(config.Environment{Args: args, Getenv: func(name string) string {
		if value := s.Environment[name]; value != nil {
			return *value
		}
		return ""
	}})
}

// own returns the services that are Popeye's own roles and jobs.
func own(p *types.Project) []types.ServiceConfig {
	var services []types.ServiceConfig
	for _, name := range p.ServiceNames() {
		if s := p.Services[name]; s.Image == ownImage {
			services = append(services, s)
		}
	}
	return services
}

func TestEveryRoleAcceptsItsSettings(t *testing.T) {
	t.Parallel()
	secrets := makeSecrets(t)
	roles := map[string]int{}
	for _, s := range own(load(t)) {
		cli, role, err := parse(s, arguments(s, secrets))
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		roles[role]++
		switch role {
		case "poll":
			checkQueue(t, s.Name, cli.Poll.Queue, "poll", secrets)
		case "worker":
			checkQueue(t, s.Name, cli.Worker.Queue, "worker", secrets)
		}
		checkHealth(t, s, map[string]string{
			"poll": cli.Poll.OpsAddr, "worker": cli.Worker.OpsAddr, "result": cli.Result.OpsAddr, "admin": cli.Admin.OpsAddr,
		}[role])
	}
	for role, want := range map[string]int{"poll": 2, "worker": 2, "result": 2, "admin": 1, "migrate": 1} {
		if roles[role] != want {
			t.Errorf("there are %d of %s, not %d", roles[role], role, want)
		}
	}
}

func checkQueue(t *testing.T, service string, q config.Queue, user, secrets string) {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(secrets, "redis-"+user+"-password"))
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, server := range q.Servers {
		places = append(places, server.Place)
		if server.Username != "popeye-"+user || server.Password.Reveal()+"\n" != string(password) {
			t.Errorf("%s logs in at %s as %q, and not with the password of %s", service, server.Place, server.Username, user)
		}
	}
	if want := []string{"redis-1:6379", "redis-2:6379", "redis-3:6379"}; !slices.Equal(places, want) || q.Copies != 2 {
		t.Errorf("%s writes %d copies to %v", service, q.Copies, places)
	}
	if q.Durability != "strict" {
		t.Errorf("%s has a queue with durability %s", service, q.Durability)
	}
}

// checkHealth makes sure that a role is asked by its own binary, where it
// listens for that.
func checkHealth(t *testing.T, s types.ServiceConfig, ops string) {
	t.Helper()
	if ops == "" { // a job, which ends
		if !s.HealthCheck.Disable || s.Restart != types.RestartPolicyOnFailure {
			t.Errorf("%s is asked for its health, or not tried again", s.Name)
		}
		return
	}
	test := s.HealthCheck.Test
	if len(test) < 3 || test[0] != "CMD" || test[1] != "/popeye" {
		t.Fatalf("%s is asked for its health by %v", s.Name, test)
	}
	cli, command, err := parse(s, test[2:])
	if err != nil || command != "health" {
		t.Fatalf("%s is asked for its health by %v: %v", s.Name, test, err)
	}
	if _, port, _ := strings.Cut(ops, ":"); !strings.HasSuffix(cli.Health.OpsAddr, ":"+port) {
		t.Errorf("%s listens on %s, and is asked for its health at %s", s.Name, ops, cli.Health.OpsAddr)
	}
	if time.Duration(*s.HealthCheck.Timeout) <= cli.Health.Timeout {
		t.Errorf("%s has no time to say why it is not healthy", s.Name)
	}
}

func TestSecretsAreMadeAndNothingElse(t *testing.T) {
	t.Parallel()
	project, dir := load(t), makeSecrets(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, entry := range entries {
		made[entry.Name()] = true
	}
	for name, secret := range project.Secrets {
		want := filepath.Join(project.WorkingDir, "secrets", name)
		if secret.File != want || secret.Content != "" || secret.Environment != "" {
			t.Errorf("the secret %s comes from %q, %q or %q", name, secret.File, secret.Content, secret.Environment)
		}
		if !made[name] {
			t.Errorf("the secret %s is not made by make secrets", name)
		}
		delete(made, name)
	}
	if len(made) > 0 {
		t.Errorf("make secrets makes %v, which nobody uses", made)
	}
}

func TestServicesGetTheSecretsThatTheyReadAndNoOthers(t *testing.T) {
	t.Parallel()
	project := load(t)
	read := regexp.MustCompile(secretsDir + `([\w-]+)`)
	for name, s := range project.Services {
		text := strings.Join(append(append([]string{}, s.Command...), s.Entrypoint...), " ")
		for _, c := range s.Configs {
			content, err := os.ReadFile(project.Configs[c.Source].File)
			if err != nil {
				t.Fatal(err)
			}
			// redis-start reads those that it makes a hash of.
			text += regexp.MustCompile(`\(hash ([\w-]+)\)`).ReplaceAllString(string(content), secretsDir+"$1")
		}
		for _, value := range s.Environment {
			text += " " + *value
		}
		var needs, has []string
		for _, found := range read.FindAllStringSubmatch(text, -1) {
			needs = append(needs, found[1])
		}
		for _, secret := range s.Secrets {
			has = append(has, secret.Source)
			if secret.Target != secretsDir+secret.Source {
				t.Errorf("%s gets %s as %s", name, secret.Source, secret.Target)
			}
		}
		slices.Sort(needs)
		slices.Sort(has)
		if needs = slices.Compact(needs); !slices.Equal(needs, has) {
			t.Errorf("%s reads the secrets %v and is given %v", name, needs, has)
		}
	}
}

func TestNoSecretHasADefaultOrStandsInTheOpen(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`\$\{([^}]*)\}`).FindAllStringSubmatch(string(text), -1) {
		if !regexp.MustCompile(`^[A-Z]+_PORT:-\d+$`).MatchString(found[1]) {
			t.Errorf("compose.yaml takes ${%s} from the environment", found[1])
		}
	}
	sensitive := regexp.MustCompile(`PASSWORD|TOKEN|SECRET|KEY`)
	address := regexp.MustCompile(`[a-z]+://[^\s]+`)
	for name, s := range load(t).Services {
		for key, value := range s.Environment {
			isFile := strings.HasSuffix(key, "_FILE") && strings.HasPrefix(*value, secretsDir)
			if sensitive.MatchString(key) && !isFile {
				t.Errorf("%s has %s in its environment", name, key)
			}
		}
		for _, found := range address.FindAllString(strings.Join(s.Command, " "), -1) {
			u, err := url.Parse(found)
			if err != nil {
				t.Fatal(err)
			}
			if _, has := u.User.Password(); has {
				t.Errorf("%s has a password in %s", name, found)
			}
		}
	}
}

func TestSecretsStayAsTheyAreAndAreKeptFromOthers(t *testing.T) {
	t.Parallel()
	dir := makeSecrets(t)
	token := filepath.Join(dir, "admin-token")
	before, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "voter-keys")); err != nil {
		t.Fatal(err)
	}
	if out := runScript(t, dir); !strings.Contains(out, "voter-keys") || strings.Contains(out, "admin-token") {
		t.Errorf("it says: %s", out)
	}
	if out := runScript(t, dir); out != "" {
		t.Errorf("with all of them there it says: %s", out)
	}
	after, err := os.ReadFile(token)
	if err != nil || string(after) != string(before) {
		t.Errorf("the token was made anew: %v", err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{64}\n$`).Match(after) {
		t.Error("the token is not of 256 bits")
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, token: 0o644} { // containers have users of their own
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v: %v", path, info.Mode().Perm(), err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(root, "scripts", "secrets"), dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "open to others") {
		t.Errorf("a folder that others may read is taken: %s", out)
	}
}
