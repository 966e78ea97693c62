// Package voter tells who is voting: it makes, signs and recognises voters at
// the integrity level "browser", and turns them into pseudonyms.
//
// A voter is 128 random bits, known only to its browser. The browser shows them
// in a signed cookie, or in a signed field of the form, so that a first vote can
// be retried where the cookie was lost. A client that keeps neither can name
// itself by an Idempotency-Key. What reaches a queue or a store is a pseudonym,
// different in each round, from which nobody without the voter key gets back.
package voter

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"popeye"
)

// ErrBadIdempotencyKey says that an Idempotency-Key is empty or too long.
var ErrBadIdempotencyKey = errors.New("Idempotency-Key must have 1 to 255 characters")

const (
	maxIdempotencyKey = 255
	cookieName        = "popeye"
	passName          = "popeye-r"
	// The longest life that browsers grant (RFC 6265bis, section 5.5).
	cookieAge = 400 * 24 * time.Hour
	macLength = 16
)

// ID is a voter as its browser knows it.
type ID [16]byte

// Source says what a voter was recognised by.
type Source string

// The sources, the most trusted first. FromCookieOld is a cookie signed by a
// key that is on its way out: it should be signed again.
const (
	FromCookie    Source = "cookie"
	FromCookieOld Source = "old cookie"
	FromForm      Source = "form"
	FromSeed      Source = "idempotency key"
	FromNothing   Source = "nothing"
)

// Identity is who is voting, and how that is known.
type Identity struct {
	ID     ID
	Source Source
}

// Config is what a Registrar needs.
type Config struct {
	// Cookies signs cookies, forms and passes.
	Cookies *Ring
	// Pseudonyms makes pseudonyms. Each round names the key that it uses. A role
	// that only asks HasPass needs none.
	Pseudonyms *Ring
	// Proxies are the addresses whose X-Forwarded-Proto is believed.
	Proxies []netip.Prefix
}

// Registrar recognises voters. It holds no state but its keys, so that any
// number of replicas with the same keys agree.
type Registrar struct {
	cfg Config
}

// New returns a Registrar.
func New(cfg Config) *Registrar { return &Registrar{cfg: cfg} }

// Identify returns the voter of a request about d: the one of a valid cookie,
// or of a valid form token, or of a POST's Idempotency-Key, or else a new one.
// What is forged or damaged counts as absent. It fails only for an unusable
// Idempotency-Key or a voter key that is missing.
func (g *Registrar) Identify(r *http.Request, d *popeye.Definition, token string) (Identity, error) {
	if who, ok := g.fromCookie(r); ok {
		return who, nil
	}
	if id, ok := g.open(token, purposeForm, d.Round); ok {
		return Identity{ID: id, Source: FromForm}, nil
	}
	if keys := r.Header.Values("Idempotency-Key"); len(keys) > 0 && r.Method == http.MethodPost {
		return g.fromSeed(d, keys[0])
	}
	var id ID
	rand.Read(id[:])
	return Identity{ID: id, Source: FromNothing}, nil
}

func (g *Registrar) fromCookie(r *http.Request) (Identity, bool) {
	for _, c := range r.CookiesNamed(g.name(r, cookieName)) {
		if id, ok := g.open(c.Value, purposeCookie, 0); ok {
			source := FromCookie
			if c.Value != g.seal(id, purposeCookie, 0) {
				source = FromCookieOld
			}
			return Identity{ID: id, Source: source}, true
		}
	}
	return Identity{}, false
}

func (g *Registrar) fromSeed(d *popeye.Definition, seed string) (Identity, error) {
	if seed == "" || len(seed) > maxIdempotencyKey {
		return Identity{}, ErrBadIdempotencyKey
	}
	k, err := g.pseudonymKey(d)
	if err != nil {
		return Identity{}, err
	}
	sum := k.sum(purposeSeed, []byte(seed))
	return Identity{ID: ID(sum[:16]), Source: FromSeed}, nil
}

// Pseudonym returns the name of voter id in the round of d.
func (g *Registrar) Pseudonym(d *popeye.Definition, id ID) (popeye.Voter, error) {
	k, err := g.pseudonymKey(d)
	if err != nil {
		return popeye.Voter{}, err
	}
	sum := k.sum(purposePseudonym, message(d.Round, id[:]))
	return popeye.Voter(sum[:16]), nil
}

func (g *Registrar) pseudonymKey(d *popeye.Definition) (*key, error) {
	if k := g.cfg.Pseudonyms.find(d.VoterKey); k != nil {
		return k, nil
	}
	if d.VoterKey == "" {
		return nil, fmt.Errorf("%w: no voter key is named for this round yet", popeye.ErrUnavailable)
	}
	return nil, fmt.Errorf("%w: the voter key %s of this round is not among the keys given", popeye.ErrUnavailable, d.VoterKey)
}

// Token returns the signed form field that names voter id in the round of d.
func (g *Registrar) Token(d *popeye.Definition, id ID) string {
	return g.seal(id, purposeForm, d.Round)
}

// SetCookie gives the browser its voter, unless the request showed that it has
// it already, signed by the newest key.
func (g *Registrar) SetCookie(w http.ResponseWriter, r *http.Request, who Identity) {
	if who.Source == FromCookie {
		return
	}
	g.setCookie(w, r, cookieName, g.seal(who.ID, purposeCookie, 0))
}

// GrantPass lets the browser see the result of a poll that shows it only to
// those who have voted. A pass says that somebody has voted, not who.
func (g *Registrar) GrantPass(w http.ResponseWriter, r *http.Request, d *popeye.Definition) {
	g.setCookie(w, r, passName+strconv.FormatInt(d.Round, 10), g.seal(ID{}, purposePass, d.Round))
}

// HasPass reports whether the request shows a pass for the round of d.
func (g *Registrar) HasPass(r *http.Request, d *popeye.Definition) bool {
	for _, c := range r.CookiesNamed(g.name(r, passName+strconv.FormatInt(d.Round, 10))) {
		if _, ok := g.open(c.Value, purposePass, d.Round); ok {
			return true
		}
	}
	return false
}

func (g *Registrar) setCookie(w http.ResponseWriter, r *http.Request, name, value string) {
	var b strings.Builder
	b.Grow(160)
	b.WriteString(g.name(r, name) + "=" + value)
	b.WriteString("; Path=/; Max-Age=" + strconv.Itoa(int(cookieAge/time.Second)) + "; HttpOnly; SameSite=Lax")
	if g.Secure(r) {
		b.WriteString("; Secure")
	}
	w.Header().Add("Set-Cookie", b.String())
}

// name returns the cookie's name: behind TLS with the prefix that keeps other
// hosts of the domain from setting it (RFC 6265bis, section 4.1.3.2).
func (g *Registrar) name(r *http.Request, name string) string {
	if g.Secure(r) {
		return "__Host-" + name
	}
	return name
}

// Secure reports whether the browser came over TLS: to this process, or to a
// proxy that is believed when it says so.
func (g *Registrar) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if len(g.cfg.Proxies) == 0 || r.Header.Get("X-Forwarded-Proto") != "https" {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && Contains(g.cfg.Proxies, peer.Addr().Unmap())
}

// Contains reports whether addr is an address of one of the networks.
func Contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// seal returns id and its MAC by the newest key, in 43 characters of base64url.
func (g *Registrar) seal(id ID, p purpose, round int64) string {
	return sealWith(g.cfg.Cookies.keys[0], id, p, round)
}

func sealWith(k *key, id ID, p purpose, round int64) string {
	sum := k.sum(p, message(round, id[:]))
	var sealed [len(id) + macLength]byte
	copy(sealed[:], id[:])
	copy(sealed[len(id):], sum[:macLength])
	return base64.RawURLEncoding.EncodeToString(sealed[:])
}

// open returns the voter of a sealed value if any key of the ring made it for
// that purpose and round.
func (g *Registrar) open(value string, p purpose, round int64) (ID, bool) {
	var sealed [len(ID{}) + macLength]byte
	if len(value) != base64.RawURLEncoding.EncodedLen(len(sealed)) {
		return ID{}, false
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(sealed[:], []byte(value)); err != nil {
		return ID{}, false
	}
	id := ID(sealed[:len(ID{})])
	for _, k := range g.cfg.Cookies.keys {
		sum := k.sum(p, message(round, id[:]))
		if subtle.ConstantTimeCompare(sum[:macLength], sealed[len(id):]) == 1 {
			return id, true
		}
	}
	return ID{}, false
}

// message is round, in 8 bytes, and text: a fixed prefix, so that no two pairs
// give the same bytes.
func message(round int64, text []byte) []byte {
	m := make([]byte, 8, 8+len(text))
	binary.BigEndian.PutUint64(m, uint64(round))
	return append(m, text...)
}
