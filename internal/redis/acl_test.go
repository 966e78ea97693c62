package redis_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/redis"
)

// rulesFile is what the documentation tells to set.
const rulesFile = "../../docs/redis-acl.txt"

const password = "secret with spaces?"

// ruleOf returns the words of the line for a user.
func ruleOf(t *testing.T, user string) []string {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); slices.Contains(words, user) && words[0] == "ACL" {
			words[slices.Index(words, ">PASSWORD")] = ">" + password
			return words
		}
	}
	t.Fatalf("there is no rule for %s", user)
	return nil
}

// guarded is a server where the rules are set and nobody else gets in.
type guarded struct {
	at           *lab.Redis
	root         rueidis.Client
	poll, worker *redis.Server
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{at: labtest.Redis(t)}
	g.root = raw(t, g.at)
	do(t, g.root, ruleOf(t, "popeye-poll")...)
	do(t, g.root, ruleOf(t, "popeye-worker")...)
	g.poll = open(t, g.at, redis.Config{Username: "popeye-poll", Password: password})
	g.worker = open(t, g.at, redis.Config{Username: "popeye-worker", Password: password, Retention: 1, Memory: 1})
	return g
}

// timed is a poll that ends on time.
func timed(round popeye.Definition) popeye.Definition {
	round.Closes = time.Now().Add(time.Hour)
	return round
}

// pollsPart is all that poll does with a server.
func (g *guarded) pollsPart(t *testing.T, round int64) error {
	t.Helper()
	ctx := limited(t)
	do(t, g.root, "SCRIPT", "FLUSH")
	for n := range 60 { // so many that buckets are split
		c := cast(n, 1, 100)
		c.Round, c.Unconfirmed = round, n%2 == 0
		if _, err := g.poll.Put(ctx, c, patience); err != nil {
			return err
		}
	}
	if _, _, err := g.poll.Mark(ctx, round, voter(1)); err != nil {
		return err
	}
	if _, err := g.poll.Catalog(ctx, 0); err != nil {
		return err
	}
	if err := g.poll.Announce(ctx, "0000000"); err != nil {
		return err
	}
	return g.poll.Announce(ctx, "key")
}

// workersPart is all that worker does with a server.
func (g *guarded) workersPart(t *testing.T, version int64) error {
	t.Helper()
	ctx := limited(t)
	do(t, g.root, "SCRIPT", "FLUSH")
	do(t, g.root, "DEL", "{popeye}:server") // as if it were new
	d := round("p", version, popeye.First)
	for i, state := range []popeye.State{popeye.Open, popeye.Closed, popeye.Closed, popeye.Final} {
		if err := g.worker.Publish(ctx, popeye.NewCatalog(version+int64(i), []popeye.Definition{in(state, d)})); err != nil {
			return err
		}
		consumer := g.worker.Consumer("c")
		if i == 1 { // there is a seal
			ds, err := consumer.Receive(ctx, 1000)
			if err != nil {
				return err
			}
			if err := consumer.Ack(ctx, ds); err != nil {
				return err
			}
		}
		if err := errors.Join(g.worker.Tend(ctx), consumer.Shutdown(ctx)); err != nil {
			return err
		}
	}
	if err := g.worker.Publish(ctx, popeye.NewCatalog(version+4, nil)); err != nil {
		return err
	}
	if _, err := g.worker.Status(ctx); err != nil {
		return err
	}
	if _, err := g.worker.VoterKey(ctx); err != nil {
		return err
	}
	return errors.Join(
		g.worker.Replay(ctx, "", func(context.Context, []popeye.Vote) error { return nil }),
		g.worker.Scan(ctx, func([]popeye.Delivery) error { return nil }),
	)
}

func TestTheRulesForUsersLetEachRoleDoItsPart(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	publish(t, g.worker, 1, round("p", 1, popeye.First))
	if err := g.pollsPart(t, 1); err != nil {
		t.Fatalf("poll: %v", err)
	}
	if err := g.workersPart(t, 2); err != nil {
		t.Fatalf("worker: %v", err)
	}
}

func TestWhoHasNoPasswordDoesNothing(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	do(t, g.root, "ACL", "SETUSER", "default", "resetpass", ">another")
	for name, c := range map[string]redis.Config{
		"a wrong password": {Username: "popeye-poll", Password: "wrong"},
		"no password":      {},
		"no such user":     {Username: "nobody", Password: password},
	} {
		_, err := open(t, g.at, c).Put(limited(t), cast(1, 1, 100), patience)
		wantError(t, err, popeye.ErrUnavailable)
		if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "wrong") && strings.Contains(err.Error(), "\"wrong\"") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
	put := open(t, g.at, redis.Config{Password: "another"})
	publish(t, put, 1, round("p", 1, popeye.First)) // as the default user
}

func TestTheRulesForUsersLetNobodyDoMore(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	publish(t, g.worker, 1, round("p", 1, popeye.First))
	if err := g.pollsPart(t, 1); err != nil {
		t.Fatalf("poll: %v", err)
	}
	both := []string{
		"FLUSHALL", "KEYS *", "CONFIG SET maxmemory 1", "SHUTDOWN NOSAVE", "ACL LIST", "GET other", "SET other x", "MONITOR",
		"SCRIPT FLUSH", "CLIENT LIST", "SAVE", "REPLICAOF NO ONE", "XDEL {popeye}:votes 1-1",
	}
	g.refuses(t, "popeye-poll", append(both,
		"XREADGROUP GROUP workers me STREAMS {popeye}:votes >", "XACK {popeye}:votes workers 1-1", "XTRIM {popeye}:votes MAXLEN 0",
		"XRANGE {popeye}:votes - +", "DEL {popeye}:votes", "HSET {popeye}:catalog version 9", "SET {popeye}:server x", "GET {popeye}:server",
		"HGET {popeye}:seals 1", "UNLINK {popeye}:round:1",
	))
	g.refuses(t, "popeye-worker", append(both, "XADD {popeye}:votes * v x", "HINCRBY {popeye}:round:1 marks 1"))
}

func (g *guarded) refuses(t *testing.T, user string, commands []string) {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{g.at.Addr()}, ForceSingleClient: true, DisableCache: true, Username: user, Password: password,
	})
	if err != nil {
		t.Fatalf("connect as %s: %v", user, err)
	}
	defer c.Close()
	for _, line := range commands {
		words := strings.Fields(line)
		err := c.Do(limited(t), c.B().Arbitrary(words[0]).Args(words[1:]...).Build()).Error()
		if refusal, ok := rueidis.IsRedisErr(err); !ok || !strings.HasPrefix(refusal.Error(), "NOPERM") {
			t.Errorf("%s may %s: %v", user, line, err)
		}
	}
}

// A rule that nothing needs would be one that nobody dares to remove.
func TestTheRulesForUsersGrantNothingThatIsNotNeeded(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	version := int64(1)
	for _, user := range []string{"popeye-poll", "popeye-worker"} { // a worker needs most of its rights for votes
		part := func() error { return g.workersPart(t, version) }
		if user == "popeye-poll" {
			part = func() error {
				publish(t, g.worker, version, timed(round("p", version, popeye.First)))
				return g.pollsPart(t, version)
			}
		}
		for _, word := range ruleOf(t, user) {
			command, isGrant := strings.CutPrefix(word, "+")
			if !isGrant || command == "ping" { // which keeps a connection alive
				continue
			}
			do(t, g.root, "ACL", "SETUSER", user, "-"+command)
			do(t, g.root, "CLIENT", "KILL", "USER", user)
			version += 10
			if part() == nil {
				t.Errorf("%s needs no %s", user, command)
			}
			do(t, g.root, ruleOf(t, user)...)
		}
	}
}
