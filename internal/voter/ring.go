package voter

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

// MinKeyLength is the least number of bytes in a line of a key file.
const MinKeyLength = 32

// Ring is a list of secret keys. The first one makes new signatures; all of
// them are believed, so that a key can be replaced without logging anyone out:
// add the new one as the last line everywhere, then move it to the first, and
// take the old one away once what it signed may be forgotten.
type Ring struct {
	keys []*key
}

// key is one secret with a pool of ready HMAC states: making one anew costs
// more than all the hashing of a cast.
type key struct {
	name string
	macs sync.Pool
}

// NewRing returns the ring of a key file's text: one key a line, of at least
// MinKeyLength bytes; blank lines and lines that start with # do not count.
func NewRing(text []byte) (*Ring, error) {
	ring := &Ring{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if len(line) < MinKeyLength {
			return nil, fmt.Errorf("line %d: a key has at least %d characters, this one has %d", n, MinKeyLength, len(line))
		}
		ring.keys = append(ring.keys, newKey(line))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(ring.keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return ring, nil
}

func newKey(secret string) *key {
	k := &key{}
	k.macs.New = func() any { return hmac.New(sha256.New, []byte(secret)) }
	name := k.sum(purposeName, nil)
	k.name = hex.EncodeToString(name[:4])
	return k
}

// GenerateKey returns a fresh line for a key file: 256 random bits in
// hexadecimal.
func GenerateKey() string {
	var secret [32]byte
	rand.Read(secret[:])
	return hex.EncodeToString(secret[:])
}

// CookieKeys returns the text of a key file with one key for signing cookies for
// each key of the ring, in the same order. Replicas that share voter keys so
// share cookies without a second secret, and replacing a key logs nobody out. A
// role that must not make pseudonyms can be given this text in their place: no
// way leads back from it to the keys that it was made from.
func (r *Ring) CookieKeys() []byte {
	var text []byte
	for _, k := range r.keys {
		sum := k.sum(purposeCookieKey, nil)
		text = append(hex.AppendEncode(text, sum[:]), '\n')
	}
	return text
}

// DeriveCookies returns the ring of CookieKeys.
func (r *Ring) DeriveCookies() *Ring {
	derived := &Ring{}
	for line := range strings.Lines(string(r.CookieKeys())) {
		derived.keys = append(derived.keys, newKey(strings.TrimSpace(line)))
	}
	return derived
}

// Name identifies the ring's first key without giving it away: 32 bits in
// hexadecimal.
func (r *Ring) Name() string { return r.keys[0].name }

// Has reports whether the ring has a key of that name.
func (r *Ring) Has(name string) bool { return r.find(name) != nil }

// find returns the key of that name, or nil.
func (r *Ring) find(name string) *key {
	for _, k := range r.keys {
		if k.name == name {
			return k
		}
	}
	return nil
}

// purpose keeps the uses of one key apart: a MAC made for one is worthless for
// any other.
type purpose byte

const (
	purposeName purpose = iota
	purposeCookie
	purposeForm
	purposePass
	purposePseudonym
	purposeSeed
	purposeCookieKey
)

// sum returns HMAC-SHA256 over the purpose and the message.
func (k *key) sum(p purpose, message []byte) [sha256.Size]byte {
	mac, _ := k.macs.Get().(hash.Hash) // the pool holds nothing else
	mac.Reset()
	mac.Write([]byte{byte(p)})
	mac.Write(message)
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	k.macs.Put(mac)
	return sum
}
