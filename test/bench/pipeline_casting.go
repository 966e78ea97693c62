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

// turn is how long a pipeline is cast at before it is another one's turn: a slow
// moment of the machine should slow all of them.
const turn = 2 * time.Second

// piped is a pipeline, and what casting through it came to.
type piped struct {
	*pipeline
	votes int64
	// took is how long it was cast at, until the last vote was stored.
	took time.Duration
	p99s []float64
	// spent is what the parts have used meanwhile.
	spent spent
	// backlog is how many votes were not stored when the casting ended.
	backlog int64
	// memory is the most that each role held when a turn ended, in MiB.
	memory struct{ poll, worker, result float64 }
}

// throughPipeline measures how fast votes can be cast, queued and recorded, with
// one queue server and with three of them.
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
		one, three, err := b.castInTurns(ctx, lua)
		if err != nil {
			return err
		}
		b.say("pipeline %d/%d: %.0f votes/s stored (%.0f with three servers), %.1f us each; backlog %d",
			round+1, b.rounds, one.perSecond(), three.perSecond(), one.each(one.spent.all()), one.backlog)
		b.say("CPU of each vote with three servers: poll %.1f us, Redis %.1f us, worker %.1f us, PostgreSQL %.1f us",
			three.each(three.spent.poll), three.each(three.spent.redis), three.each(three.spent.worker), three.each(three.spent.postgres))
		b.enterPiped(one, three, floor)
	}
	return nil
}

// perSecond is how many votes were cast and stored.
func (r *piped) perSecond() float64 { return float64(r.votes) / r.took.Seconds() }

// each is a part's processor time for one vote, in microseconds.
func (r *piped) each(used time.Duration) float64 {
	return float64(used.Microseconds()) / float64(r.votes)
}

// castInTurns casts through a pipeline with one queue server and through one with
// three.
func (b *bench) castInTurns(ctx context.Context, lua string) (one, three *piped, err error) {
	one, three = &piped{}, &piped{}
	both := []*piped{one, three}
	for i, servers := range []int{1, 3} {
		if both[i].pipeline, err = b.startPipeline(ctx, servers, popeye.First); err != nil {
			return nil, nil, err
		}
		defer both[i].stop()
	}
	for range b.blast / turn {
		for _, r := range both {
			if err := r.cast(ctx, lua); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, r := range both {
		if err := r.checkStored(ctx, r.votes, len(r.p99s)); err != nil {
			return nil, nil, err
		}
	}
	return one, three, nil
}

// cast casts for a turn and waits until all that is stored.
func (r *piped) cast(ctx context.Context, lua string) error {
	storedBefore, err := r.stored(ctx)
	if err != nil {
		return err
	}
	before, err := r.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	blasted, err := blast(ctx, r.poll.url, lua, pipelineConnections, turn)
	if err != nil {
		return fmt.Errorf("%w\npoll: %s", err, r.poll.output.String())
	}
	stored, err := r.stored(ctx)
	if err != nil {
		return err
	}
	r.votes += blasted.votes
	r.backlog = max(0, storedBefore+blasted.votes-stored) // what was in flight when wrk ended may be stored
	if err := r.weigh(); err != nil {
		return err
	}
	if err := r.untilStored(ctx, storedBefore+blasted.votes); err != nil {
		return err
	}
	r.took += time.Since(began)
	after, err := r.cpu()
	r.spent = r.spent.plus(after.since(before))
	r.p99s = append(r.p99s, millis(blasted.p99))
	return err
}

// weigh notes what the roles hold, if it is more than before.
func (r *piped) weigh() error {
	for _, role := range []struct {
		process *process
		into    *float64
	}{{r.poll, &r.memory.poll}, {r.worker, &r.memory.worker}, {r.result, &r.memory.result}} {
		megabytes, err := role.process.rss()
		if err != nil {
			return err
		}
		*role.into = max(*role.into, megabytes*1e6/(1<<20))
	}
	return nil
}

// checkStored makes sure that what was acknowledged is what was counted. Each time
// wrk ended, each connection may have had a vote in flight.
func (p *pipeline) checkStored(ctx context.Context, votes int64, ends int) error {
	r, err := resultAt(ctx, p.result.url)
	if err != nil {
		return err
	}
	if r.Total < votes || r.Total > votes+int64(ends)*pipelineConnections {
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

func (b *bench) enterPiped(one, three *piped, floor floors) {
	const bare, xadd, insert = "bare handler, signed cookie", "redis-benchmark XADD, 64 connections", "INSERT of 1,000 rows a statement"
	enter := func(f figure, measured, least float64) { b.table.of(f).add(measured, least) }
	enter(figure{name: "pipeline: votes/s stored, 64 connections", target: 12_000, more: true, format: "%.0f", floor: bare},
		one.perSecond(), floor.handler.perSecond)
	enter(figure{name: "pipeline: votes/s stored, 64 connections", target: 12_000, more: true, format: "%.0f", floor: xadd},
		one.perSecond(), floor.xadd)
	enter(figure{name: "pipeline: backlog when casting ends", format: "%.0f"}, float64(one.backlog), 0)
	enter(figure{name: "pipeline: cast p99", format: "%.1f ms", floor: bare}, median(one.p99s), millis(floor.handler.p99))
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
		three.perSecond()/one.perSecond(), 0)
	cpu("all servers, three Redis servers", "", 0, three.each(three.spent.all()), 0)
	for _, role := range []struct {
		name     string
		target   float64
		measured float64
	}{{"poll", 40, one.memory.poll}, {"worker", 40, one.memory.worker}, {"result", 32, one.memory.result}} {
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
