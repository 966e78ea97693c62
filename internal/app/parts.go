package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"popeye/internal/config"
	"popeye/internal/postgres"
	"popeye/internal/redis"
	"popeye/internal/voter"
)

// How the roles use the queue servers.
const (
	// pollPatience is for how long it tries to get a vote into enough of them before
	// the voter is told to come again: less than the five seconds for which a reverse
	// proxy waits.
	pollPatience = 3 * time.Second
	// syncEvery is how often a worker looks for changes of the polls.
	syncEvery = time.Second
	// consumersEach is how many batches of each server a worker has in hand at
	// most: while one is recorded, the next is received.
	consumersEach = 2
)

// openStore returns the store at a database that need not be there yet.
func openStore(ctx context.Context, cfg config.Database) (*postgres.Store, error) {
	store, err := postgres.Open(ctx, postgres.Config{DSN: cfg.DSN.Reveal()})
	return store, wrong(err)
}

// openServers returns the queue servers, which need not be up. What they have in
// common is in use, beside what the settings say of them all.
func openServers(cfg config.QueueAccess, use redis.Config) ([]*redis.Server, error) {
	var servers []*redis.Server
	for _, s := range cfg.Servers {
		use.Place, use.TLS, use.Roots = s.Place, s.TLS, cfg.Roots
		use.Username, use.Password = s.Username, s.Password.Reveal()
		use.Durability = redis.Durability(cfg.Durability)
		server, err := redis.Open(use)
		if err != nil {
			shutDown(servers)
			return nil, wrong(err)
		}
		servers = append(servers, server)
	}
	return servers, nil
}

func shutDown(servers []*redis.Server) {
	for _, s := range servers {
		s.Shutdown()
	}
}

// durabilityCost says what a durability below strict costs, empty for strict.
func durabilityCost(level string) string {
	switch level {
	case "managed":
		return "the service that runs the queue is believed: its failover may lose votes that were acknowledged"
	case "none":
		return "the queue need not keep anything: a crash of a queue server may lose votes that were acknowledged"
	default:
		return ""
	}
}

// openKeys reads the keys of poll: those that make pseudonyms, and those that
// sign cookies, which follow from them unless they are given.
func openKeys(cfg config.Poll) (voters, cookies *voter.Ring, err error) {
	if voters, err = readRing(cfg.VoterKeyFile); err != nil {
		return nil, nil, fmt.Errorf("--voter-key-file: %w", err)
	}
	if cfg.CookieKeyFile == "" {
		return voters, voters.DeriveCookies(), nil
	}
	if cookies, err = readRing(cfg.CookieKeyFile); err != nil {
		return nil, nil, fmt.Errorf("--cookie-key-file: %w", err)
	}
	return voters, cookies, nil
}

func readRing(file string) (*voter.Ring, error) {
	text, err := os.ReadFile(file)
	return ringOf(file, text, err)
}
