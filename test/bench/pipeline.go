package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"popeye"
	"popeye/internal/client"
	"popeye/internal/lab"
)

// pipeline is Popeye as processes of its own: each role once, on PostgreSQL and
// on one or several Redis servers, all of them with synchronous writes.
type pipeline struct {
	redis    []*lab.Redis
	postgres *lab.Postgres

	poll, worker, result, admin *process

	bench *bench
	dir   string
	// queue are the settings that say where the queue is.
	queue []string
	token string
}

// startPipeline starts everything and creates an open poll under that policy.
func (b *bench) startPipeline(ctx context.Context, servers int, policy popeye.Policy) (_ *pipeline, err error) {
	p := &pipeline{bench: b}
	if p.dir, err = os.MkdirTemp(b.dir, "pipeline-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	if err := p.startParts(ctx, servers); err != nil {
		return nil, err
	}
	if err := p.startRoles(ctx); err != nil {
		return nil, err
	}
	return p, p.open(ctx, policy)
}

func (p *pipeline) startParts(ctx context.Context, servers int) error {
	for range servers {
		redis, err := lab.StartRedis(ctx, lab.RedisConfig{Options: []string{"--maxmemory", "2gb"}})
		if err != nil {
			return err
		}
		p.redis = append(p.redis, redis)
		p.queue = append(p.queue, "--queue", redis.URL())
	}
	var err error
	p.postgres, err = lab.StartPostgres(ctx, lab.PostgresConfig{
		Settings: []string{"shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=15min"},
	})
	return err
}

func (p *pipeline) startRoles(ctx context.Context) error {
	keys, token := filepath.Join(p.dir, "voter.keys"), filepath.Join(p.dir, "admin-token")
	p.token = strings.Repeat("token-", 8)
	for file, text := range map[string]string{keys: strings.Repeat("key-", 16), token: p.token} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	database := []string{"--database", p.postgres.DSN("postgres")}
	migrate, err := launch(ctx, "", "", p.bench.popeye, append([]string{"migrate"}, database...)...)
	if err != nil {
		return err
	}
	<-migrate.ended
	if !migrate.cmd.ProcessState.Success() {
		return fmt.Errorf("migrate: %s", migrate.output.String())
	}
	for _, role := range []struct {
		name string
		at   **process
		with []string
	}{
		{"poll", &p.poll, append([]string{"--voter-key-file", keys}, p.queue...)},
		{"worker", &p.worker, append(database, p.queue...)},
		{"result", &p.result, database},
		{"admin", &p.admin, append([]string{"--admin-token-file", token}, database...)},
	} {
		if *role.at, err = p.startRole(ctx, role.name, role.with); err != nil {
			return fmt.Errorf("start %s: %w", role.name, err)
		}
	}
	for _, role := range []*process{p.poll, p.worker, p.result, p.admin} {
		if err := role.await(ctx, role.ready); err != nil {
			return err
		}
	}
	return nil
}

// startRole starts a role and does not wait: it may wait for the others.
func (p *pipeline) startRole(ctx context.Context, name string, settings []string) (*process, error) {
	ops, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	public := ops
	args := append([]string{name, "--ops-addr", ops}, settings...)
	if name != "worker" {
		if public, err = freeAddress(ctx); err != nil {
			return nil, err
		}
		args = append(args, "--listen", public)
	}
	return launch(ctx, public, "http://"+ops+"/readyz", p.bench.popeye, args...)
}

// open creates the poll and waits until it can be voted in.
func (p *pipeline) open(ctx context.Context, policy popeye.Policy) error {
	organiser := client.New(p.admin.url, p.token)
	_, _, err := organiser.Apply(ctx, popeye.Poll{
		ID: pollID, Question: "Cats or dogs?", Policy: policy,
		Options: []popeye.Option{{ID: "a", Label: "Cats"}, {ID: "b", Label: "Dogs"}},
	})
	if err != nil {
		return err
	}
	if err := p.result.await(ctx, p.result.url+"/api/v1/results/"+pollID); err != nil {
		return err
	}
	// The page names the voter, for which the round must have its key.
	return p.poll.await(ctx, p.poll.url+"/p/"+pollID)
}

func (p *pipeline) stop() {
	for _, role := range []*process{p.poll, p.worker, p.result, p.admin} {
		if role != nil {
			role.stop()
		}
	}
	var err error
	for _, redis := range p.redis {
		err = errors.Join(err, redis.Close())
	}
	if p.postgres != nil {
		err = errors.Join(err, p.postgres.Close())
	}
	if err != nil {
		p.bench.say("clean up: %v", err)
	}
}

// spent is the processor time that each part has used.
type spent struct{ poll, redis, worker, postgres, result time.Duration }

func (s spent) all() time.Duration { return s.poll + s.redis + s.worker + s.postgres + s.result }

func (s spent) since(before spent) spent {
	return spent{
		s.poll - before.poll, s.redis - before.redis, s.worker - before.worker,
		s.postgres - before.postgres, s.result - before.result,
	}
}

func (s spent) plus(more spent) spent {
	return spent{
		s.poll + more.poll, s.redis + more.redis, s.worker + more.worker,
		s.postgres + more.postgres, s.result + more.result,
	}
}

func (p *pipeline) cpu() (s spent, err error) {
	for _, part := range []struct {
		process *process
		into    *time.Duration
	}{{p.poll, &s.poll}, {p.worker, &s.worker}, {p.result, &s.result}} {
		if *part.into, err = part.process.cpu(); err != nil {
			return s, err
		}
	}
	for _, redis := range p.redis {
		used, err := cpuOf(redis.PID())
		if err != nil {
			return s, err
		}
		s.redis += used
	}
	s.postgres, err = cpuOfFamily(p.postgres.PID())
	return s, err
}

// cpuOfFamily returns the processor time of a process, of its children that
// ended, and of those that are there.
func cpuOfFamily(pid int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	total, err := cpuWithEnded(pid)
	for _, file := range stats {
		fields, err := statFields(file)
		if err != nil || fields[1] != strconv.Itoa(pid) {
			continue // it ended meanwhile, or is somebody else's
		}
		used, err := sumTicks(fields[11:13])
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, err
}

// backlog returns how many votes are acknowledged and not stored, as the result
// says: an estimate by at most a few hundred milliseconds.
func (p *pipeline) stored(ctx context.Context) (int64, error) {
	r, err := resultAt(ctx, p.result.url)
	return r.Ledger.Stored, err
}

// untilStored waits until so many votes are stored.
func (p *pipeline) untilStored(ctx context.Context, votes int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		n, err := p.stored(ctx)
		if err != nil {
			return err
		}
		if n >= votes {
			return nil
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d acknowledged votes are stored: %w\nworker: %s\nresult: %s", n, votes, err,
				p.worker.output.String(), p.result.output.String())
		}
	}
}
