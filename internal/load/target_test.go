package load

import (
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPopeyeBehindTLSAndAPrefixIsReached(t *testing.T) {
	server := httptest.NewUnstartedServer(http.StripPrefix("/votes", newFake("a", "b").handler()))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	cfg, err := Config{URL: server.URL + "/votes/", Votes: 1, Concurrency: 1}.complete()
	if err != nil {
		t.Fatal(err)
	}
	target, err := newTarget(cfg, cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.choose(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody signed gives %v", err)
	}
	target.tls.RootCAs = x509.NewCertPool()
	target.tls.RootCAs.AddCert(server.Certificate())
	if p, err := target.choose(t.Context(), ""); err != nil || p.ID != "cats-dogs" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAddressesAreTakenAsPeopleWriteThem(t *testing.T) {
	for given, want := range map[string]struct{ address, host, prefix string }{
		"localhost:8080":             {"localhost:8080", "localhost:8080", ""},
		"http://popeye.test/":        {"popeye.test:80", "popeye.test", ""},
		"https://popeye.test/a/b/":   {"popeye.test:443", "popeye.test", "/a/b"},
		"http://[::1]:8080":          {"[::1]:8080", "[::1]:8080", ""},
		"https://popeye.test:444/ü/": {"popeye.test:444", "popeye.test:444", "/%C3%BC"},
	} {
		got, err := newTarget(Config{}, given)
		if err != nil || got.address != want.address || got.host != want.host || got.prefix != want.prefix {
			t.Errorf("%s is taken as %+v, %v", given, got, err)
		}
	}
}
