package kube_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"popeye/internal/kube"
)

const token = "let-me-in"

// server is an API server that knows Secrets of one namespace.
type server struct {
	mu      sync.Mutex
	secrets map[string]map[string][]byte
	labels  map[string]map[string]string
	// before is called before a Secret is made.
	before func(name string)
	broken bool
}

// newServer returns an API server, and what opens it.
func newServer(t *testing.T) (*server, *kube.API) {
	t.Helper()
	s := &server{secrets: map[string]map[string][]byte{}, labels: map[string]map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/voting/secrets/{name}", s.get)
	mux.HandleFunc("POST /api/v1/namespaces/voting/secrets", s.create)
	listener := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			refuse(w, http.StatusUnauthorized)
		case s.broken:
			refuse(w, http.StatusInternalServerError)
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(listener.Close)
	dir := t.TempDir()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: listener.Certificate().Raw})
	for name, text := range map[string]string{"token": token, "namespace": "voting", "ca.crt": string(authority)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api, err := kube.Open(listener.URL, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, api
}

func refuse(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"kind": "Status", "message": "because %d"}`, status)
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, there := s.secrets[r.PathValue("name")]
	if !there {
		refuse(w, http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Secret", "data": data})
}

func (s *server) create(w http.ResponseWriter, r *http.Request) {
	var made struct {
		APIVersion, Kind string
		Metadata         struct {
			Name   string
			Labels map[string]string
		}
		Data map[string][]byte
	}
	if err := json.NewDecoder(r.Body).Decode(&made); err != nil || made.APIVersion != "v1" || made.Kind != "Secret" {
		refuse(w, http.StatusBadRequest)
		return
	}
	if s.before != nil {
		s.before(made.Metadata.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.secrets[made.Metadata.Name]; there {
		refuse(w, http.StatusConflict)
		return
	}
	s.secrets[made.Metadata.Name], s.labels[made.Metadata.Name] = made.Data, made.Metadata.Labels
	w.WriteHeader(http.StatusCreated)
}

// count returns a generator of "secret 1", "secret 2" and so on.
func count() func() string {
	var mu sync.Mutex
	n := 0
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("secret %d", n)
	}
}

func everything(out *bytes.Buffer) kube.Config {
	return kube.Config{
		Name:     "popeye",
		Parts:    []string{"redis", "poll", "worker", "result", "admin", "metrics", "postgres", "migrate"},
		Labels:   map[string]string{"app.kubernetes.io/name": "popeye"},
		Generate: count(), Out: out,
	}
}

func sum(password []byte) string {
	h := sha256.Sum256(bytes.TrimSuffix(password, []byte("\n")))
	return hex.EncodeToString(h[:])
}

func TestSecretsAreMadeOnceAndFitTogether(t *testing.T) {
	t.Parallel()
	s, api := newServer(t)
	var out bytes.Buffer
	cfg := everything(&out)
	if err := kube.Keep(t.Context(), api, cfg); err != nil {
		t.Fatal(err)
	}
	first := fmt.Sprint(s.secrets)
	if err := kube.Keep(t.Context(), api, cfg); err != nil {
		t.Fatal(err)
	}
	if again := fmt.Sprint(s.secrets); again != first || len(s.secrets) != 8 {
		t.Errorf("there are %s, and after another run %s", first, again)
	}
	if !bytes.Equal(s.secrets["popeye-poll"]["cookie-keys"], s.secrets["popeye-result"]["cookie-keys"]) {
		t.Error("poll and result do not share their cookie keys")
	}
	for _, role := range []string{"poll", "worker", "metrics"} {
		known := strings.TrimSpace(string(s.secrets["popeye-redis"][role+"-password-sha256"]))
		if want := sum(s.secrets["popeye-"+role]["redis-password"]); known != want {
			t.Errorf("Redis knows %s by %s, not %s", role, known, want)
		}
	}
	if s.labels["popeye-admin"]["app.kubernetes.io/name"] != "popeye" {
		t.Errorf("its labels are %v", s.labels["popeye-admin"])
	}
	seen := map[string]string{}
	for name, data := range s.secrets {
		for key, value := range data {
			if strings.Contains(out.String(), string(bytes.TrimSpace(value))) {
				t.Errorf("%s of %s is printed", key, name)
			}
			other := seen[string(value)]
			if other != "" && key != "cookie-keys" {
				t.Errorf("%s of %s is also %s", key, name, other)
			}
			seen[string(value)] = name
		}
	}
}

func TestGivenSecretsAreUsedAndNeverMade(t *testing.T) {
	t.Parallel()
	s, api := newServer(t)
	cfg := everything(&bytes.Buffer{})
	cfg.Given = map[string]string{"poll": "ours"}
	if err := kube.Keep(t.Context(), api, cfg); err == nil || !strings.Contains(err.Error(), "no Secret ours") {
		t.Errorf("without the given one: %v", err)
	}
	if s.secrets["popeye-poll"] != nil || s.secrets["ours"] != nil || s.secrets["popeye-worker"] == nil {
		t.Errorf("it made %v", s.secrets)
	}

	s, api = newServer(t)
	s.secrets["ours"] = map[string][]byte{"voter-keys": []byte("v"), "cookie-keys": []byte("our cookies"), "redis-password": []byte("our password")}
	if err := kube.Keep(t.Context(), api, cfg); err != nil {
		t.Fatal(err)
	}
	if string(s.secrets["popeye-result"]["cookie-keys"]) != "our cookies" {
		t.Errorf("result has %v", s.secrets["popeye-result"])
	}
	if got := strings.TrimSpace(string(s.secrets["popeye-redis"]["poll-password-sha256"])); got != sum([]byte("our password")) {
		t.Errorf("Redis knows poll by %s", got)
	}
}

func TestWhatIsMissingInASecretIsSaidAndLeft(t *testing.T) {
	t.Parallel()
	s, api := newServer(t)
	s.secrets["popeye-admin"] = map[string][]byte{"admin-token": []byte("t"), "postgres-password": nil}
	s.secrets["popeye-redis"] = map[string][]byte{"poll-password-sha256": []byte("another")}
	before := fmt.Sprint(s.secrets["popeye-admin"], s.secrets["popeye-redis"])
	err := kube.Keep(t.Context(), api, everything(&bytes.Buffer{}))
	if err == nil {
		t.Fatal("all is well")
	}
	for _, part := range []string{
		"popeye-admin lacks postgres-password:", "popeye-redis lacks poll-password-sha256 with the SHA-256 of redis-password in popeye-poll",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
	if after := fmt.Sprint(s.secrets["popeye-admin"], s.secrets["popeye-redis"]); after != before || s.secrets["popeye-migrate"] == nil {
		t.Errorf("they are %s now, and %v", after, s.secrets)
	}
}

func TestTwoThatMakeThemAtOnceAgree(t *testing.T) {
	t.Parallel()
	s, api := newServer(t)
	var begun atomic.Bool
	generate := count()
	cfg := everything(&bytes.Buffer{})
	cfg.Generate = generate
	other := cfg
	other.Out = &bytes.Buffer{}
	s.before = func(string) {
		if begun.CompareAndSwap(false, true) {
			if err := kube.Keep(t.Context(), api, other); err != nil {
				t.Error(err)
			}
		}
	}
	if err := kube.Keep(t.Context(), api, cfg); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(s.secrets["popeye-redis"]["poll-password-sha256"])); got != sum(s.secrets["popeye-poll"]["redis-password"]) {
		t.Error("Redis knows another password than poll")
	}
}

func TestAnAPIServerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	s, api := newServer(t)
	s.broken = true
	if err := kube.Keep(t.Context(), api, everything(&bytes.Buffer{})); !errors.Is(err, kube.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownPartsAreRefused(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]kube.Config{
		"part":  {Name: "x", Parts: []string{"cellar"}},
		"given": {Name: "x", Given: map[string]string{"cellar": "y"}},
		"name":  {Parts: []string{"poll"}},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%s: all is well", name)
		}
	}
}
