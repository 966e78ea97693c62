package redis_test

import (
	"strings"
	"testing"

	"popeye"
	"popeye/internal/lab/labtest"
	"popeye/internal/redis"
)

func TestAServerThatCouldLoseVotesIsRefusedUntilItCannot(t *testing.T) {
	t.Parallel()
	for name, set := range map[string][2]string{
		"no log":                     {"appendonly", "no"},
		"a log written now and then": {"appendfsync", "everysec"},
		"a log not written while it is rewritten": {"no-appendfsync-on-rewrite", "yes"},
		"memory that drops what it likes":         {"maxmemory-policy", "allkeys-lru"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := labtest.Redis(t, "--"+set[0], set[1])
			s := open(t, at, redis.Config{})
			err := s.Publish(limited(t), popeye.NewCatalog(1, nil))
			wantError(t, err, popeye.ErrUnavailable)
			if !strings.Contains(err.Error(), set[0]) || !strings.Contains(err.Error(), s.Place()) {
				t.Fatalf("the error is %q, want that it says what to set where", err)
			}
			_, err = s.Put(limited(t), cast(1, 1, 100), patience)
			wantError(t, err, popeye.ErrUnavailable)

			right := map[string]string{"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no", "maxmemory-policy": "noeviction"}
			do(t, raw(t, at), "CONFIG", "SET", set[0], right[set[0]])
			publish(t, s, 1, round("p", 1, popeye.First))
			putAll(t, s, 1, 1)
		})
	}
}

func TestAServerThatComesBackWithOtherSettingsIsRefused(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{})
	putAll(t, s, 1, 1)
	do(t, raw(t, at), "CONFIG", "SET", "appendfsync", "no")
	do(t, raw(t, at), "CLIENT", "KILL", "TYPE", "normal")
	until(t, "the server is refused", func() bool {
		_, err := s.Put(limited(t), cast(1, 1, 100), patience)
		return err != nil && strings.Contains(err.Error(), "appendfsync")
	})
}

func TestDurabilityManagedBelievesAServerThatHidesItsSettings(t *testing.T) {
	t.Parallel()
	at := labtest.Redis(t, "--appendonly", "no", "--rename-command", "CONFIG", "")
	strict, managed := open(t, at, redis.Config{}), open(t, at, redis.Config{Durability: redis.Managed})
	err := strict.Publish(limited(t), popeye.NewCatalog(1, nil))
	wantError(t, err, popeye.ErrUnavailable)
	if !strings.Contains(err.Error(), "managed") || !strings.Contains(err.Error(), "+config|get") {
		t.Fatalf("the error is %q, want that it says how to go on", err)
	}
	publish(t, managed, 1, round("p", 1, popeye.First))
	putAll(t, managed, 1, 1)
}

func TestDurabilityManagedStillRefusesAServerThatDropsVotes(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{
		"and says so":   {"--maxmemory-policy", "allkeys-lru"},
		"and hides it":  {"--maxmemory-policy", "allkeys-lru", "--rename-command", "CONFIG", ""},
		"and that only": {"--appendonly", "no", "--maxmemory-policy", "volatile-ttl"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, labtest.Redis(t, options...), redis.Config{Durability: redis.Managed})
			err := s.Publish(limited(t), popeye.NewCatalog(1, nil))
			wantError(t, err, popeye.ErrUnavailable)
			if !strings.Contains(err.Error(), "maxmemory-policy") {
				t.Fatalf("the error is %q, want that it says what to set", err)
			}
		})
	}
}

func TestDurabilityNoneAsksNothing(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{Durability: redis.None}, "--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
	putAll(t, s, 1, 1)
}

func TestWhatCannotBeRightIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]redis.Config{
		"no place":           {},
		"a place no port":    {Place: "localhost"},
		"a place no host":    {Place: ":6379"},
		"another durability": {Place: "localhost:6379", Durability: "some"},
		"a share above all":  {Place: "localhost:6379", Share: 1.5},
		"a share below none": {Place: "localhost:6379", Share: -1},
	} {
		if s, err := redis.Open(c); err == nil {
			s.Shutdown()
			t.Errorf("%s was not refused", name)
		}
	}
}

// What a script writes stands in the log as a transaction, which Redis reads again with
// the rights of its default user.
func TestAServerThatWouldReadNoVoteFromItsLogIsRefused(t *testing.T) {
	t.Parallel()
	at := labtest.Redis(t)
	root := raw(t, at)
	for _, user := range []string{"popeye-poll", "popeye-worker"} {
		do(t, root, ruleOf(t, user)...)
	}
	do(t, root, "ACL", "SETUSER", "root", "on", "nopass", "~*", "&*", "+@all")
	do(t, root, "ACL", "SETUSER", "default", "reset", "on", "nopass", "+ping")
	s := open(t, at, redis.Config{Username: "popeye-worker", Password: password})
	err := s.Publish(limited(t), popeye.NewCatalog(1, nil))
	wantError(t, err, popeye.ErrUnavailable)
	if !strings.Contains(err.Error(), "ACL SETUSER default off ~* &* +@all") {
		t.Fatalf("the error is %q, want that it says what to set", err)
	}
}
