package voter_test

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/voter"
)

const (
	oldKey = "0123456789abcdef0123456789abcdef"
	newKey = "fedcba9876543210fedcba9876543210"
)

func ring(t *testing.T, lines ...string) *voter.Ring {
	t.Helper()
	r, err := voter.NewRing([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func registrar(t *testing.T, cookieKeys ...string) *voter.Registrar {
	t.Helper()
	return voter.New(voter.Config{
		Cookies: ring(t, cookieKeys...), Pseudonyms: ring(t, oldKey),
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
}

func round(t *testing.T, number int64) *popeye.Definition {
	t.Helper()
	return &popeye.Definition{Round: number, VoterKey: ring(t, oldKey).Name()}
}

func request(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/p/x", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

func identify(t *testing.T, g *voter.Registrar, r *http.Request, d *popeye.Definition, token string) voter.Identity {
	t.Helper()
	who, err := g.Identify(r, d, token)
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// newcomer returns a voter and the cookie that was set for it.
func newcomer(t *testing.T, g *voter.Registrar, r *http.Request) (voter.Identity, *http.Cookie) {
	t.Helper()
	who := identify(t, g, r, round(t, 1), "")
	if who.Source != voter.FromNothing {
		t.Fatalf("a request with nothing was recognised by %q", who.Source)
	}
	w := httptest.NewRecorder()
	g.SetCookie(w, r, who)
	return who, w.Result().Cookies()[0]
}

func TestVoterIsRecognisedByItsCookie(t *testing.T) {
	g := registrar(t, oldKey)
	who, cookie := newcomer(t, g, request())
	again := identify(t, g, request(cookie), round(t, 2), "")
	if again.ID != who.ID || again.Source != voter.FromCookie {
		t.Errorf("got %v, want voter %v from its cookie", again, who.ID)
	}
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.MaxAge <= 0 {
		t.Errorf("cookie is %+v", cookie)
	}
	w := httptest.NewRecorder()
	g.SetCookie(w, request(cookie), again)
	if len(w.Result().Cookies()) != 0 {
		t.Error("a browser that has its cookie was given it again")
	}
}

func TestForgedOrDamagedCookieIsNeverBelieved(t *testing.T) {
	g := registrar(t, oldKey)
	who, cookie := newcomer(t, g, request())
	raw, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		t.Fatal(err)
	}
	tampered := append([]byte{}, raw...)
	tampered[0] ^= 1
	w := httptest.NewRecorder()
	g.GrantPass(w, request(), round(t, 1))
	_, foreign := newcomer(t, registrar(t, newKey), request())
	for name, value := range map[string]string{
		"empty":                    "",
		"truncated":                cookie.Value[:len(cookie.Value)-1],
		"longer":                   cookie.Value + "A",
		"another voter's bits":     base64.RawURLEncoding.EncodeToString(tampered),
		"signed by an unknown key": foreign.Value,
		"a form token":             g.Token(round(t, 1), who.ID),
		"a pass":                   w.Result().Cookies()[0].Value,
		"not base64":               strings.Repeat("?", len(cookie.Value)),
		"all zero":                 strings.Repeat("A", len(cookie.Value)),
	} {
		got := identify(t, g, request(&http.Cookie{Name: cookie.Name, Value: value}), round(t, 1), "")
		if got.Source != voter.FromNothing || got.ID == who.ID {
			t.Errorf("%s: believed as %q", name, got.Source)
		}
	}
}

func TestCookieKeyRotationLogsNobodyOut(t *testing.T) {
	who, cookie := newcomer(t, registrar(t, oldKey), request())
	rotated := registrar(t, newKey, oldKey)
	again := identify(t, rotated, request(cookie), round(t, 1), "")
	if again.ID != who.ID || again.Source != voter.FromCookieOld {
		t.Fatalf("got %v, want the same voter from an old cookie", again)
	}
	w := httptest.NewRecorder()
	rotated.SetCookie(w, request(cookie), again)
	resigned := w.Result().Cookies()[0]
	for _, g := range []*voter.Registrar{rotated, registrar(t, newKey), registrar(t, oldKey, newKey)} {
		if got := identify(t, g, request(resigned), round(t, 1), ""); got.ID != who.ID {
			t.Error("the voter was not recognised by the cookie signed anew")
		}
	}
}

func TestFormTokenNamesTheVoterInItsRoundOnly(t *testing.T) {
	g := registrar(t, oldKey)
	who, _ := newcomer(t, g, request())
	token := g.Token(round(t, 1), who.ID)
	if got := identify(t, g, request(), round(t, 1), token); got.ID != who.ID || got.Source != voter.FromForm {
		t.Errorf("got %v, want the voter of the form", got)
	}
	if got := identify(t, g, request(), round(t, 2), token); got.Source != voter.FromNothing {
		t.Errorf("the token of round 1 was believed in round 2")
	}
}

func TestCookieComesBeforeFormAndFormBeforeIdempotencyKey(t *testing.T) {
	g := registrar(t, oldKey)
	mine, cookie := newcomer(t, g, request())
	other, _ := newcomer(t, g, request())
	token := g.Token(round(t, 1), other.ID)
	r := request(cookie)
	r.Header.Set("Idempotency-Key", "k")
	if got := identify(t, g, r, round(t, 1), token); got.ID != mine.ID {
		t.Errorf("got %v, want the voter of the cookie", got)
	}
	r = request()
	r.Header.Set("Idempotency-Key", "k")
	if got := identify(t, g, r, round(t, 1), token); got.ID != other.ID {
		t.Errorf("got %v, want the voter of the form", got)
	}
}

func TestIdempotencyKeyIsTheSeedOfAVoter(t *testing.T) {
	g := registrar(t, oldKey)
	seeded := func(key string) (voter.Identity, error) {
		r := request()
		r.Header["Idempotency-Key"] = []string{key}
		return g.Identify(r, round(t, 1), "")
	}
	first, err := seeded("k1")
	if err != nil {
		t.Fatal(err)
	}
	again, _ := seeded("k1")
	other, _ := seeded("k2")
	if first != again || first.ID == other.ID || first.Source != voter.FromSeed {
		t.Errorf("k1: %v, k1 again: %v, k2: %v", first, again, other)
	}
	for _, key := range []string{"", strings.Repeat("k", 256)} {
		if _, err := seeded(key); err == nil {
			t.Errorf("a key of %d characters was taken", len(key))
		}
	}
}

func TestPseudonymsTellNothingAcrossRounds(t *testing.T) {
	g := registrar(t, oldKey)
	id := voter.ID{1}
	one, err := g.Pseudonym(round(t, 1), id)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := g.Pseudonym(round(t, 2), id)
	again, _ := g.Pseudonym(round(t, 1), id)
	if one == two || one != again {
		t.Errorf("round 1: %v, round 2: %v, round 1 again: %v", one, two, again)
	}
	if _, err := g.Pseudonym(&popeye.Definition{Round: 1, VoterKey: "gone"}, id); err == nil {
		t.Error("a pseudonym was made without the round's key")
	}
}

func TestCookiesAreSecureBehindTLSOfATrustedProxyOnly(t *testing.T) {
	g := registrar(t, oldKey)
	direct := request()
	direct.TLS = &tls.ConnectionState{}
	trusted, stranger := request(), request()
	trusted.RemoteAddr, stranger.RemoteAddr = "10.1.2.3:5", "192.0.2.1:5"
	trusted.Header.Set("X-Forwarded-Proto", "https")
	stranger.Header.Set("X-Forwarded-Proto", "https")
	for name, c := range map[string]struct {
		request *http.Request
		secure  bool
	}{"TLS": {direct, true}, "trusted proxy": {trusted, true}, "stranger": {stranger, false}, "plain": {request(), false}} {
		_, cookie := newcomer(t, g, c.request)
		if cookie.Secure != c.secure || strings.HasPrefix(cookie.Name, "__Host-") != c.secure {
			t.Errorf("%s: cookie %s, secure %v", name, cookie.Name, cookie.Secure)
		}
	}
}

func TestPassOpensItsRoundOnly(t *testing.T) {
	g := registrar(t, oldKey)
	w := httptest.NewRecorder()
	g.GrantPass(w, request(), round(t, 1))
	pass := w.Result().Cookies()[0]
	if !g.HasPass(request(pass), round(t, 1)) {
		t.Error("the pass does not open its round")
	}
	moved := &http.Cookie{Name: "popeye-r2", Value: pass.Value}
	if g.HasPass(request(), round(t, 1)) || g.HasPass(request(moved), round(t, 2)) {
		t.Error("a round was opened without its pass")
	}
}

func TestKeyFileNeedsLongKeys(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "comments only": "# a\n\n", "short": oldKey + "\nshort\n"} {
		if _, err := voter.NewRing([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if ring(t, "# comment", "", "  "+oldKey+"\r", newKey).Name() != ring(t, oldKey).Name() {
		t.Error("the first key does not name the ring")
	}
}

func TestReplicasThatShareVoterKeysShareCookies(t *testing.T) {
	replica := func(voterKeys ...string) *voter.Registrar {
		keys := ring(t, voterKeys...)
		return voter.New(voter.Config{Cookies: keys.DeriveCookies(), Pseudonyms: keys})
	}
	who, cookie := newcomer(t, replica(oldKey), request())
	for name, g := range map[string]*voter.Registrar{
		"another replica":                   replica(oldKey),
		"one that knows the next key":       replica(oldKey, newKey),
		"one that signs by the next key":    replica(newKey, oldKey),
		"one that reads the derived keys":   voter.New(voter.Config{Cookies: ring(t, string(ring(t, oldKey).CookieKeys())), Pseudonyms: ring(t, oldKey)}),
		"one whose key file has a comment":  replica("# since March", oldKey),
		"one that is given keys it ignores": replica(oldKey, "an old key that signs nothing any more"),
	} {
		if got := identify(t, g, request(cookie), round(t, 1), ""); got.ID != who.ID {
			t.Errorf("%s does not know the voter", name)
		}
	}
	if got := identify(t, replica(newKey), request(cookie), round(t, 1), ""); got.ID == who.ID {
		t.Error("a cookie was believed without its key")
	}
}

func TestDerivedCookieKeysGiveNoVoterKeyAway(t *testing.T) {
	keys, derived := ring(t, oldKey, newKey), ring(t, string(ring(t, oldKey, newKey).CookieKeys()))
	if derived.Has(keys.Name()) || strings.Contains(string(keys.CookieKeys()), oldKey) {
		t.Error("the derived keys are the keys themselves")
	}
	w := httptest.NewRecorder()
	voter.New(voter.Config{Cookies: keys.DeriveCookies(), Pseudonyms: keys}).GrantPass(w, request(), round(t, 1))
	// A role that shows results has no keys but these.
	if shows := voter.New(voter.Config{Cookies: derived}); !shows.HasPass(request(w.Result().Cookies()[0]), round(t, 1)) {
		t.Error("the pass of a voter does not open the result")
	}
}

func TestRoundWhoseVoterKeyIsNotNamedYetIsTriedAgain(t *testing.T) {
	g := registrar(t, oldKey)
	for name, key := range map[string]string{"not named yet": "", "not among the keys": "0badc0de"} {
		_, err := g.Pseudonym(&popeye.Definition{Round: 1, VoterKey: key}, voter.ID{1})
		if !errors.Is(err, popeye.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzSealedValues(f *testing.F) {
	keys, err := voter.NewRing([]byte(oldKey))
	if err != nil {
		f.Fatal(err)
	}
	g := voter.New(voter.Config{Cookies: keys, Pseudonyms: keys})
	d := &popeye.Definition{Round: 1, VoterKey: keys.Name()}
	f.Add(g.Token(d, voter.ID{1}))
	f.Add("")
	f.Add(strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, token string) {
		who, err := g.Identify(request(), d, token)
		if err != nil {
			t.Fatal(err)
		}
		if who.Source == voter.FromForm && g.Token(d, who.ID) != token {
			t.Errorf("%q was believed, but is not what was signed", token)
		}
	})
}
