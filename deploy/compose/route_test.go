package compose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v4"

	"popeye/internal/web/openapi"
)

// routes are what routes.yaml says, as far as it is tested.
type routes struct {
	HTTP struct {
		Routers map[string]router `yaml:"routers"`

		Middlewares map[string]struct {
			RateLimit *struct {
				Average int `yaml:"average"`
				Burst   int `yaml:"burst"`
			} `yaml:"rateLimit"`
			Retry *struct {
				Attempts int      `yaml:"attempts"`
				Status   []string `yaml:"status"`
			} `yaml:"retry"`
			Compress *struct {
				Excluded []string `yaml:"excludedContentTypes"`
			} `yaml:"compress"`
		} `yaml:"middlewares"`

		Services map[string]struct {
			LoadBalancer struct {
				Transport string `yaml:"serversTransport"`
				Servers   []struct {
					URL string `yaml:"url"`
				} `yaml:"servers"`
			} `yaml:"loadBalancer"`
		} `yaml:"services"`

		Transports map[string]struct {
			Timeouts struct {
				Dial           time.Duration `yaml:"dialTimeout"`
				ResponseHeader time.Duration `yaml:"responseHeaderTimeout"`
			} `yaml:"forwardingTimeouts"`
		} `yaml:"serversTransports"`
	} `yaml:"http"`
}

type router struct {
	Rule        string   `yaml:"rule"`
	Priority    int      `yaml:"priority"`
	EntryPoints []string `yaml:"entryPoints"`
	Service     string   `yaml:"service"`
	Middlewares []string `yaml:"middlewares"`
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func readRoutes(t *testing.T) routes {
	t.Helper()
	var r routes
	read(t, "routes.yaml", &r)
	return r
}

// find returns the router that a request goes to, as Traefik chooses it.
func (r routes) find(t *testing.T, method, path string) router {
	t.Helper()
	var found router
	for name, candidate := range r.HTTP.Routers {
		rule, err := parser.ParseExpr(candidate.Rule) // Traefik's rules look like Go
		if err != nil {
			t.Fatalf("the rule of %s: %v", name, err)
		}
		if holds(t, rule, method, path) && candidate.Priority > found.Priority {
			found = candidate
		}
	}
	return found
}

// holds reports whether a rule holds for a request.
func holds(t *testing.T, rule ast.Expr, method, path string) bool {
	t.Helper()
	switch e := rule.(type) {
	case *ast.ParenExpr:
		return holds(t, e.X, method, path)
	case *ast.UnaryExpr:
		return !holds(t, e.X, method, path)
	case *ast.BinaryExpr:
		if e.Op == token.LAND {
			return holds(t, e.X, method, path) && holds(t, e.Y, method, path)
		}
		return holds(t, e.X, method, path) || holds(t, e.Y, method, path)
	case *ast.CallExpr:
		name, value := called(t, e)
		switch name {
		case "Method":
			return method == value
		case "Path":
			return path == value
		case "PathPrefix":
			return strings.HasPrefix(path, value)
		case "PathRegexp":
			return regexp.MustCompile(value).MatchString(path)
		}
	}
	t.Fatalf("a rule has %T, which this test does not know", rule)
	return false
}

func called(t *testing.T, call *ast.CallExpr) (name, value string) {
	t.Helper()
	function, isName := call.Fun.(*ast.Ident)
	if !isName || len(call.Args) != 1 {
		t.Fatal("a rule calls something else than a matcher with one value")
	}
	literal, isLiteral := call.Args[0].(*ast.BasicLit)
	if !isLiteral {
		t.Fatal("a rule calls a matcher with something else than a value")
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return function.Name, value
}

// roleOf returns the role that the addresses in docs/ARCHITECTURE.md give a path
// to.
func roleOf(path string) string {
	for prefix, role := range map[string]string{
		"/r/": "result", "/api/v1/results/": "result", "/api/v1/receipts/": "result", "/admin/": "admin",
	} {
		if strings.HasPrefix(path, prefix) {
			return role
		}
	}
	return "poll"
}

func TestEveryAddressOfTheAPIIsServedByItsRole(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	if err != nil {
		t.Fatal(err)
	}
	r := readRoutes(t)
	for template, item := range document.Paths.Map() {
		path := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(template, "r-1")
		for method := range item.Operations() {
			found := r.find(t, method, path)
			want := roleOf(path)
			for _, server := range r.HTTP.Services[found.Service].LoadBalancer.Servers {
				if !regexp.MustCompile(`^http://` + want + `(-\d)?:8080$`).MatchString(server.URL) {
					t.Errorf("%s %s goes to %s", method, template, server.URL)
				}
			}
			isVote := method == http.MethodPost && want == "poll"
			if isVote != (found.Service == "cast") {
				t.Errorf("%s %s goes to %s", method, template, found.Service)
			}
		}
	}
	if r.find(t, http.MethodGet, "/no/such/page").Service != "poll" || r.find(t, http.MethodGet, "/results").Service != "poll" {
		t.Error("nobody answers for what is not there")
	}
	if r.find(t, http.MethodGet, "/p/_/x.js").Service != "poll" || r.find(t, http.MethodGet, "/r/_/x.js").Service != "result" {
		t.Error("a role does not serve its own files")
	}
}

func TestEachServiceHasAllProcessesOfItsRole(t *testing.T) {
	t.Parallel()
	project, r := load(t), readRoutes(t)
	for service, role := range map[string]string{"cast": "poll", "poll": "poll", "result": "result", "admin": "admin"} {
		var got, want []string
		for _, server := range r.HTTP.Services[service].LoadBalancer.Servers {
			got = append(got, server.URL)
		}
		for _, name := range project.ServiceNames() {
			if kind(project.Services[name]) == role {
				want = append(want, "http://"+name+":8080")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is served by %v, and there are %v", service, got, want)
		}
	}
}

func TestVotesAreLimitedAndNeverSentTwice(t *testing.T) {
	t.Parallel()
	r := readRoutes(t)
	limit := r.HTTP.Middlewares["per-network"].RateLimit
	if limit == nil || limit.Average != 100 || limit.Burst != 500 {
		t.Errorf("a network may cast %+v", limit)
	}
	for name, candidate := range r.HTTP.Routers {
		if slices.Contains(candidate.Middlewares, "per-network") != (name == "cast") {
			t.Errorf("%s is limited, or not", name)
		}
	}
	retry := r.HTTP.Middlewares["retry"].Retry
	if retry == nil || retry.Attempts != 3 || len(retry.Status) > 0 {
		t.Errorf("requests are sent again: %+v", retry)
	}
}

func TestNothingTouchesStreams(t *testing.T) {
	t.Parallel()
	r := readRoutes(t)
	stream := r.find(t, http.MethodGet, "/api/v1/results/cats-dogs/stream")
	if stream.Service != "result" || len(stream.Middlewares) > 0 {
		t.Errorf("streams pass %v to %s", stream.Middlewares, stream.Service)
	}
	if got := r.HTTP.Middlewares["compress"].Compress; got == nil || !slices.Contains(got.Excluded, "text/event-stream") {
		t.Errorf("streams are compressed: %v", got)
	}
	for name, s := range r.HTTP.Services {
		timeouts := r.HTTP.Transports[s.LoadBalancer.Transport].Timeouts
		if timeouts.Dial != time.Second {
			t.Errorf("%s waits %s for a connection", name, timeouts.Dial)
		}
		if (timeouts.ResponseHeader > 0) != (name == "cast") {
			t.Errorf("%s waits %s for an answer", name, timeouts.ResponseHeader)
		}
	}
}

func TestIngressServesOneAddressAndAsksNobody(t *testing.T) {
	t.Parallel()
	var cfg map[string]any
	read(t, "traefik.yaml", &cfg)
	for _, forbidden := range []string{"api", "accessLog", "tracing", "experimental"} {
		if _, has := cfg[forbidden]; has {
			t.Errorf("it has %s", forbidden)
		}
	}
	var known struct {
		EntryPoints map[string]any `yaml:"entryPoints"`
		Providers   map[string]any `yaml:"providers"`
		Global      map[string]any `yaml:"global"`
	}
	read(t, "traefik.yaml", &known)
	if len(known.Providers) != 1 || known.Providers["file"] == nil || known.EntryPoints["web"] == nil {
		t.Errorf("it is told what to serve by %v", known.Providers)
	}
	if known.Global["checkNewVersion"] != false || known.Global["sendAnonymousUsage"] != false {
		t.Error("it talks to its makers")
	}
	for name, candidate := range readRoutes(t).HTTP.Routers {
		if !slices.Equal(candidate.EntryPoints, []string{"web"}) {
			t.Errorf("%s is served at %v", name, candidate.EntryPoints)
		}
	}
}
