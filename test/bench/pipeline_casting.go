package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"popeye"
	"popeye/internal/lab"
)

// pipelineConnections is how many clients cast at a pipeline at the same time.
const pipelineConnections = 64

// piped is what casting through a pipeline came to.
type piped struct {
	blasted
	// perSecond, from the first cast to the last one stored, is in blasted.
	spent spent
	// backlog is how many votes were not stored when the casting ended.
	backlog int64
	// memory is what each role holds, in MiB.
	poll, worker, result float64
}

// throughPipeline measures how fast votes can be cast, queued and recorded.
func (b *bench) throughPipeline(ctx context.Context) error {
	lua := filepath.Join(b.dir, "cast.lua")
	if err := os.WriteFile(lua, []byte(script), 0o600); err != nil {
		return err
	}
	for round := range b.rounds {
		floor, err := b.pipelineFloors(ctx, lua)
		if err != nil {
			return err
		}
		one, err := b.castThrough(ctx, lua, 1)
		if err != nil {
			return err
		}
		three, err := b.castThrough(ctx, lua, 3)
		if err != nil {
			return err
		}
		b.say("pipeline %d/%d: %.0f votes/s stored (%.0f with three servers), %.1f us each; backlog %d",
			round+1, b.rounds, one.perSecond, three.perSecond, one.each(one.spent.all()), one.backlog)
		b.say("CPU of each vote with three servers: poll %.1f us, Redis %.1f us, worker %.1f us, PostgreSQL %.1f us",
			three.each(three.spent.poll), three.each(three.spent.redis), three.each(three.spent.worker), three.each(three.spent.postgres))
		b.enterPiped(one, three, floor)
	}
	return nil
}

// each is a part's processor time for one vote, in microseconds.
func (r piped) each(used time.Duration) float64 {
	return float64(used.Microseconds()) / float64(r.votes)
}

func (b *bench) castThrough(ctx context.Context, lua string, servers int) (r piped, err error) {
	p, err := b.startPipeline(ctx, servers, popeye.First)
	if err != nil {
		return r, err
	}
	defer p.stop()
	before, err := p.cpu()
	if err != nil {
		return r, err
	}
	began := time.Now()
	if r.blasted, err = blast(ctx, p.poll.url, lua, pipelineConnections, b.blast); err != nil {
		return r, fmt.Errorf("%w\npoll: %s", err, p.poll.output.String())
	}
	stored, err := p.stored(ctx)
	if err != nil {
		return r, err
	}
	r.backlog = r.votes - stored
	if err := p.untilStored(ctx, r.votes); err != nil {
		return r, err
	}
	r.perSecond = float64(r.votes) / time.Since(began).Seconds()
	after, err := p.cpu()
	if err != nil {
		return r, err
	}
	r.spent = after.since(before)
	for _, role := range []struct {
		process *process
		into    *float64
	}{{p.poll, &r.poll}, {p.worker, &r.worker}, {p.result, &r.result}} {
		megabytes, err := role.process.rss()
		if err != nil {
			return r, err
		}
		*role.into = megabytes * 1e6 / (1 << 20)
	}
	return r, p.checkStored(ctx, r.votes)
}

// checkStored makes sure that what was acknowledged is what was counted. When
// wrk ends, each connection may have a vote in flight.
func (p *pipeline) checkStored(ctx context.Context, votes int64) error {
	r, err := resultAt(ctx, p.result.url)
	if err != nil {
		return err
	}
	if r.Total < votes || r.Total > votes+pipelineConnections {
		return fmt.Errorf("%d votes were acknowledged, %d are counted", votes, r.Total)
	}
	return nil
}

// floors are the least that the parts of a pipeline could cost.
type floors struct {
	handler blasted
	// xadd is how many entries a second Redis appends, each synced, and its
	// processor time for one, in microseconds.
	xadd, xaddCPU float64
	// insertCPU is PostgreSQL's processor time for a row inserted among a
	// thousand, in microseconds.
	insertCPU float64
}

func (b *bench) enterPiped(one, three piped, floor floors) {
	const bare, xadd, insert = "bare handler, signed cookie", "redis-benchmark XADD, 64 connections", "INSERT of 1,000 rows a statement"
	enter := func(f figure, measured, least float64) { b.table.of(f).add(measured, least) }
	enter(figure{name: "pipeline: votes/s stored, 64 connections", target: 12_000, more: true, format: "%.0f", floor: bare},
		one.perSecond, floor.handler.perSecond)
	enter(figure{name: "pipeline: votes/s stored, 64 connections", target: 12_000, more: true, format: "%.0f", floor: xadd},
		one.perSecond, floor.xadd)
	enter(figure{name: "pipeline: backlog when casting ends", format: "%.0f"}, float64(one.backlog), 0)
	enter(figure{name: "pipeline: cast p99", format: "%.1f ms", floor: bare}, millis(one.p99), millis(floor.handler.p99))
	cpu := func(name, against string, target, measured, least float64) {
		enter(figure{name: "pipeline: CPU per vote, " + name, target: target, format: "%.1f us", floor: against}, measured, least)
	}
	cpu("poll", bare, 65, one.each(one.spent.poll), floor.handler.cpuPerVote())
	cpu("Redis", xadd, 20, one.each(one.spent.redis), floor.xaddCPU)
	cpu("worker", "", 6, one.each(one.spent.worker), 0)
	cpu("PostgreSQL", insert, 15, one.each(one.spent.postgres), floor.insertCPU)
	cpu("result, nobody looking", "", 0, one.each(one.spent.result), 0)
	cpu("all servers", "", 105, one.each(one.spent.all()), 0)
	enter(figure{name: "pipeline: three Redis servers, two copies, votes/s", target: 0.6, more: true, format: "%.2f of one"},
		three.perSecond/one.perSecond, 0)
	cpu("all servers, three Redis servers", "", 0, three.each(three.spent.all()), 0)
	for _, role := range []struct {
		name     string
		target   float64
		measured float64
	}{{"poll", 40, one.poll}, {"worker", 40, one.worker}, {"result", 32, one.result}} {
		enter(figure{name: "pipeline: memory under load, " + role.name, target: role.target, format: "%.1f MiB"}, role.measured, 0)
	}
}

func (b *bench) pipelineFloors(ctx context.Context, lua string) (f floors, err error) {
	p, err := b.startFloor(ctx, "cookie")
	if err != nil {
		return f, err
	}
	defer p.stop()
	before, err := p.cpu()
	if err != nil {
		return f, err
	}
	if f.handler, err = blast(ctx, p.url, lua, pipelineConnections, b.blast); err != nil {
		return f, err
	}
	after, err := p.cpu()
	if err != nil {
		return f, err
	}
	f.handler.cpu = after - before
	if f.xadd, f.xaddCPU, err = xaddFloor(ctx); err != nil {
		return f, err
	}
	f.insertCPU, err = rowFloor(ctx)
	return f, err
}

// requests finds what redis-benchmark -q says at the end.
var requests = regexp.MustCompile(`([0-9.]+) requests per second`)

// xaddFloor appends entries as long as a vote's.
func xaddFloor(ctx context.Context) (perSecond, micros float64, err error) {
	const entries = 100_000
	redis, err := lab.StartRedis(ctx, lab.RedisConfig{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = redis.Close() }()
	before, err := cpuOf(redis.PID())
	if err != nil {
		return 0, 0, err
	}
	_, port, err := net.SplitHostPort(redis.Addr())
	if err != nil {
		return 0, 0, err
	}
	out, err := exec.CommandContext(ctx, "redis-benchmark", "-p", port, "-c", strconv.Itoa(pipelineConnections),
		"-n", strconv.Itoa(entries), "-q", "XADD", "votes", "*", "v", "a vote, its voter, round, stamp and choices").CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("run redis-benchmark: %w\n%s", err, out)
	}
	after, err := cpuOf(redis.PID())
	if err != nil {
		return 0, 0, err
	}
	lines := requests.FindAllSubmatch(out, -1)
	if lines == nil {
		return 0, 0, fmt.Errorf("redis-benchmark says nothing of requests:\n%s", out)
	}
	perSecond, err = strconv.ParseFloat(string(lines[len(lines)-1][1]), 64)
	return perSecond, float64((after - before).Microseconds()) / entries, err
}

// rowFloor inserts rows as wide as a vote's, a thousand a statement, with a
// key as random.
func rowFloor(ctx context.Context) (micros float64, err error) {
	const statements, rows = 100, 1000
	postgres, err := lab.StartPostgres(ctx, lab.PostgresConfig{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, postgres.Close()) }()
	const table = "CREATE TABLE floor (round bigint, voter uuid, choices bigint, stamp bigint, PRIMARY KEY (round, voter))"
	if err := postgres.Exec(ctx, "postgres", table); err != nil {
		return 0, err
	}
	before, err := cpuOfFamily(postgres.PID())
	if err != nil {
		return 0, err
	}
	for range statements {
		insert := fmt.Sprintf("INSERT INTO floor SELECT 1, gen_random_uuid(), 1, 1 FROM generate_series(1, %d)", rows)
		if err := postgres.Exec(ctx, "postgres", insert); err != nil {
			return 0, err
		}
	}
	after, err := cpuOfFamily(postgres.PID())
	return float64((after - before).Microseconds()) / (statements * rows), err
}
