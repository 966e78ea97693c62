package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"popeye"
)

// seeded makes wrk cast votes by the API, each by the voter whom a number names,
// for one option: run twice, it lets the same voters change their votes.
const seeded = `
local n = 0
function request()
  n = n + 1
  return wrk.format("POST", "/api/v1/votes/cats-dogs",
    {["Content-Type"] = "application/json", ["Idempotency-Key"] = "voter " .. n}, '{"choices":["%s"]}')
end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() stands = 0; others = 0 end
function response(status)
  if status == 200 or status == 201 then stands = stands + 1 else others = others + 1 end
end
function done(summary, latency)
  local stands, others = 0, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, t in ipairs(threads) do
    stands, others = stands + t:get("stands"), others + t:get("others")
  end
  io.write(string.format("bench stands=%%d others=%%d us=%%d p99=%%d\n", stands, others, summary.duration, latency:percentile(99)))
end
`

// drain measures how fast one worker records what has gathered while it was
// away: new votes, and then changes of the same voters.
func (b *bench) drain(ctx context.Context) error {
	scripts := map[string]string{}
	for _, choice := range []string{"a", "b"} {
		scripts[choice] = filepath.Join(b.dir, "seeded-"+choice+".lua")
		if err := os.WriteFile(scripts[choice], fmt.Appendf(nil, seeded, choice), 0o600); err != nil {
			return err
		}
	}
	for round := range b.rounds {
		p, err := b.startPipeline(ctx, 1, popeye.Change)
		if err != nil {
			return err
		}
		fresh, err := p.drain(ctx, scripts["a"])
		var changed drained
		if err == nil {
			changed, err = p.drain(ctx, scripts["b"])
		}
		p.stop()
		if err != nil {
			return err
		}
		b.say("drain %d/%d: %.0f votes/s of %d, %.0f changes/s of %d", round+1, b.rounds,
			fresh.perSecond, fresh.votes, changed.perSecond, changed.votes)
		b.table.of(figure{name: "drain, one worker: votes/s", target: 60_000, more: true, format: "%.0f"}).add(fresh.perSecond, 0)
		b.table.of(figure{name: "drain, one worker: changes/s", target: 40_000, more: true, format: "%.0f"}).add(changed.perSecond, 0)
	}
	return nil
}

// drained is what a worker recorded after it was away.
type drained struct {
	votes     int64
	perSecond float64
}

// drain casts while the worker is away, starts it, and times it from its first
// batch to its last.
func (p *pipeline) drain(ctx context.Context, lua string) (d drained, err error) {
	before, err := p.stored(ctx)
	if err != nil {
		return d, err
	}
	p.worker.stop()
	cast, err := blast(ctx, p.poll.url, lua, pipelineConnections, 2*p.bench.blast)
	if err != nil {
		return d, err
	}
	database := []string{"--database", p.postgres.DSN("postgres")}
	if p.worker, err = p.startRole(ctx, "worker", append(database, p.queue...)); err != nil {
		return d, err
	}
	all := before + cast.votes
	var first int64
	var began time.Time
	for n := before; n < all; {
		if n, err = p.stored(ctx); err != nil {
			return d, err
		}
		if began.IsZero() && n > before {
			first, began = n, time.Now()
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return d, err
		}
	}
	d.votes = all - first
	d.perSecond = float64(d.votes) / time.Since(began).Seconds()
	return d, p.worker.await(ctx, p.worker.ready)
}
