package kube

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Config says which Secrets there have to be.
type Config struct {
	// Name begins the Secrets' names: popeye makes popeye-poll, popeye-worker and so
	// on.
	Name string
	// Parts are those that need a Secret, in any order.
	Parts []string
	// Given are the Secrets, by part, that somebody else takes care of. They have to
	// be there, with all that belongs into them.
	Given map[string]string
	// Labels are put on the Secrets that are made.
	Labels map[string]string
	// Generate returns a new key or password.
	Generate func() string
	// Out is told what was made, and never what it is.
	Out io.Writer
}

// Keys in the Secrets.
const (
	voterKeys        = "voter-keys"
	cookieKeys       = "cookie-keys"
	adminToken       = "admin-token"
	redisPassword    = "redis-password"
	postgresPassword = "postgres-password"
	passwordHash     = "-password-sha256"
)

// contents returns which keys the Secret of each part has, and which parts there
// are, in the order in which they are made: those that are made of others come
// after them.
func contents() (parts []string, keys map[string][]string) {
	return []string{"poll", "worker", "result", "admin", "metrics", "postgres", "migrate", "redis"}, map[string][]string{
		"poll":     {voterKeys, cookieKeys, redisPassword},
		"worker":   {redisPassword, postgresPassword},
		"result":   {cookieKeys, postgresPassword},
		"admin":    {adminToken, postgresPassword},
		"metrics":  {redisPassword, postgresPassword},
		"postgres": {postgresPassword},
		"migrate":  {postgresPassword},
		// What a queue server has to know of a password is not the password.
		"redis": {"poll" + passwordHash, "worker" + passwordHash, "metrics" + passwordHash},
	}
}

// Validate returns an error unless all parts are known.
func (c *Config) Validate() error {
	known, _ := contents()
	for _, part := range append(slices.Clone(c.Parts), slices.Sorted(maps.Keys(c.Given))...) {
		if !slices.Contains(known, part) {
			return fmt.Errorf("there is no Secret for %s, only for %s", part, strings.Join(known, ", "))
		}
	}
	if c.Name == "" {
		return errors.New("the Secrets need a name")
	}
	return nil
}

// Keep makes the Secrets that are missing. It may run any number of times, and
// many at once: what is there already is never changed. Where something is missing
// in a Secret that is there, it says what, after it has made the others.
func Keep(ctx context.Context, api *API, cfg Config) error {
	k := keeper{api: api, cfg: cfg, held: map[string]map[string][]byte{}}
	known, _ := contents()
	var parts []string
	for _, part := range known {
		if !slices.Contains(cfg.Parts, part) {
			continue
		}
		parts = append(parts, part)
		found, err := api.get(ctx, k.name(part))
		if err != nil {
			return err
		}
		k.held[part] = found
	}
	var wrong []error
	for _, part := range parts {
		if err := k.keep(ctx, part); err != nil {
			if errors.Is(err, ErrUnavailable) {
				return err
			}
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// keeper is one run of Keep. It holds what the Secrets hold.
type keeper struct {
	api  *API
	cfg  Config
	held map[string]map[string][]byte
}

func (k *keeper) name(part string) string {
	if given := k.cfg.Given[part]; given != "" {
		return given
	}
	return k.cfg.Name + "-" + part
}

// keep makes the Secret of a part, unless it is there.
func (k *keeper) keep(ctx context.Context, part string) error {
	if k.held[part] != nil {
		return k.check(part)
	}
	if given := k.cfg.Given[part]; given != "" {
		return fmt.Errorf("there is no Secret %s, which %s was told to use", given, part)
	}
	data := map[string][]byte{}
	_, keys := contents()
	for _, key := range keys[part] {
		if value := k.value(key); value != nil {
			data[key] = value
		}
	}
	isNew, err := k.api.create(ctx, k.name(part), k.cfg.Labels, data)
	if err != nil {
		return err
	}
	if isNew {
		k.held[part] = data
		fmt.Fprintf(k.cfg.Out, "made the Secret %s\n", k.name(part))
		return nil
	}
	if k.held[part], err = k.api.get(ctx, k.name(part)); err != nil {
		return err
	}
	return k.check(part)
}

// value returns what a key of a new Secret holds: what other Secrets know already,
// or something new. It is nil for the hash of a password that nobody has.
func (k *keeper) value(key string) []byte {
	if owner, isHash := strings.CutSuffix(key, passwordHash); isHash {
		return hash(k.held[owner][redisPassword])
	}
	if key == cookieKeys { // the one thing that two parts share
		for _, other := range []string{"poll", "result"} {
			if shared := k.held[other][cookieKeys]; shared != nil {
				return shared
			}
		}
	}
	return []byte(k.cfg.Generate() + "\n")
}

// hash returns the SHA-256 of a password by which Redis knows it, nil for none.
// Readers of password files leave out one newline at the end, and so does this.
func hash(password []byte) []byte {
	if len(password) == 0 {
		return nil
	}
	sum := sha256.Sum256(bytes.TrimSuffix(bytes.TrimSuffix(password, []byte("\n")), []byte("\r")))
	return []byte(hex.EncodeToString(sum[:]) + "\n")
}

// check returns an error when a Secret that is there lacks what its part needs, or
// does not fit to the others.
func (k *keeper) check(part string) error {
	_, keys := contents()
	var missing []string
	for _, key := range keys[part] {
		owner, isHash := strings.CutSuffix(key, passwordHash)
		if !isHash {
			if len(k.held[part][key]) == 0 {
				missing = append(missing, key)
			}
			continue
		}
		want := bytes.TrimSpace(hash(k.held[owner][redisPassword]))
		if want == nil {
			continue
		}
		if known := k.held[part][key]; !bytes.Contains(known, want) {
			missing = append(missing, key+" with the SHA-256 of "+redisPassword+" in "+k.name(owner))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the Secret %s lacks %s: it is left as it is, so add that, or delete it to have it made anew",
			k.name(part), strings.Join(missing, ", "))
	}
	return nil
}
