package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// connections is how many clients cast at the same time.
const connections = 256

// script makes wrk cast votes by form, each by a new voter, and count those that
// the server said to stand.
const script = `
wrk.method = "POST"
wrk.body = "vote=a"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() stands = 0; others = 0 end
function response(status)
  if status == 303 then stands = stands + 1 else others = others + 1 end
end
function done(summary, latency)
  local stands, others = 0, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, t in ipairs(threads) do
    stands, others = stands + t:get("stands"), others + t:get("others")
  end
  io.write(string.format("bench stands=%d others=%d us=%d p99=%d\n", stands, others, summary.duration, latency:percentile(99)))
end
`

// blasted is what wrk found.
type blasted struct {
	votes     int64
	perSecond float64
	p99       time.Duration
	cpu       time.Duration
}

// casting measures how fast votes can be cast by form, while everybody casts
// the next as soon as the one before stands.
func (b *bench) casting(ctx context.Context) error {
	lua := filepath.Join(b.dir, "cast.lua")
	if err := os.WriteFile(lua, []byte(script), 0o600); err != nil {
		return err
	}
	rate := figure{name: "votes/s, 256 connections", target: 10_000, more: true, format: "%.0f"}
	bare, sqlite := rate, rate
	bare.floor, sqlite.floor = "bare handler, signed cookie", "SQLite INSERT alone"
	busy := figure{name: "server CPU per vote", format: "%.1f us", floor: "bare handler, signed cookie"}
	slow := figure{name: "cast, 256 connections, p99", format: "%.1f ms", floor: "bare handler, signed cookie"}
	for round := range b.rounds {
		floor, err := b.blastFloor(ctx, lua)
		if err != nil {
			return err
		}
		popeye, err := b.blastPopeye(ctx, lua)
		if err != nil {
			return err
		}
		inserts, err := b.insertFloor(ctx)
		if err != nil {
			return err
		}
		b.say("casting %d/%d: %.0f votes/s; bare handler %.0f/s, SQLite alone %.0f/s", round+1, b.rounds,
			popeye.perSecond, floor.perSecond, inserts)
		b.table.of(bare).add(popeye.perSecond, floor.perSecond)
		b.table.of(sqlite).add(popeye.perSecond, inserts)
		b.table.of(busy).add(popeye.cpuPerVote(), floor.cpuPerVote())
		b.table.of(slow).add(millis(popeye.p99), millis(floor.p99))
	}
	return nil
}

func (r blasted) cpuPerVote() float64 { return float64(r.cpu.Microseconds()) / float64(r.votes) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (b *bench) blastFloor(ctx context.Context, lua string) (blasted, error) {
	p, err := b.startFloor(ctx, "cookie")
	if err != nil {
		return blasted{}, err
	}
	defer p.stop()
	return b.wrk(ctx, p, lua)
}

// blastPopeye also checks that what was acknowledged is what was counted.
func (b *bench) blastPopeye(ctx context.Context, lua string) (blasted, error) {
	p, err := b.startPopeye(ctx)
	if err != nil {
		return blasted{}, err
	}
	defer p.stop()
	r, err := b.wrk(ctx, p, lua)
	if err != nil {
		return r, err
	}
	counted, err := countedBy(ctx, p.url)
	if err != nil {
		return r, err
	}
	// When wrk ends, each connection may have a vote in flight.
	if counted < r.votes || counted > r.votes+connections {
		return r, fmt.Errorf("%d votes were acknowledged, %d are counted", r.votes, counted)
	}
	return r, nil
}

func (b *bench) insertFloor(ctx context.Context) (float64, error) {
	dir, err := os.MkdirTemp(b.dir, "floor-")
	if err != nil {
		return 0, err
	}
	return insertsPerSecond(ctx, dir, connections, b.blast)
}

// found finds the line that the script prints.
var found = regexp.MustCompile(`bench stands=(\d+) others=(\d+) us=(\d+) p99=(\d+)`)

// wrk casts at p, and notes what that costs it.
func (b *bench) wrk(ctx context.Context, p *process, lua string) (blasted, error) {
	before, err := p.cpu()
	if err != nil {
		return blasted{}, err
	}
	r, err := blast(ctx, p.url, lua, connections, b.blast)
	if err != nil {
		return r, err
	}
	after, err := p.cpu()
	r.cpu = after - before
	return r, err
}

// blast casts at url for a while, on so many connections.
func blast(ctx context.Context, url, lua string, connections int, during time.Duration) (blasted, error) {
	wrk := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections),
		"-d"+strconv.Itoa(int(during.Seconds()))+"s", "--timeout", "10s", "-s", lua, url+"/p/"+pollID)
	out, err := wrk.CombinedOutput()
	if err != nil {
		return blasted{}, fmt.Errorf("run wrk: %w\n%s", err, out)
	}
	line := found.FindSubmatch(out)
	if line == nil {
		return blasted{}, fmt.Errorf("wrk says nothing of votes:\n%s", out)
	}
	var n [4]int64
	for i := range n {
		if n[i], err = strconv.ParseInt(string(line[i+1]), 10, 64); err != nil {
			return blasted{}, err
		}
	}
	if n[0] == 0 || n[1] > 0 {
		return blasted{}, fmt.Errorf("%d votes stand, %d requests failed:\n%s", n[0], n[1], out)
	}
	return blasted{
		votes:     n[0],
		perSecond: float64(n[0]) / (float64(n[2]) / 1e6),
		p99:       time.Duration(n[3]) * time.Microsecond,
	}, nil
}

// countedBy returns the votes in the result, once all accepted are stored.
func countedBy(ctx context.Context, url string) (int64, error) {
	r, err := resultAt(ctx, url)
	if err != nil {
		return 0, err
	}
	if r.Total != r.Ledger.Accepted {
		return 0, errors.New("the result and its ledger differ")
	}
	return r.Total, nil
}

// shown is what the measurements need of a result.
type shown struct {
	Total  int64 `json:"total"`
	Ledger struct {
		Accepted int64 `json:"accepted"`
		Queued   int64 `json:"queued"`
		Stored   int64 `json:"stored"`
	} `json:"ledger"`
}

func resultAt(ctx context.Context, url string) (r shown, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/results/"+pollID, nil)
	if err != nil {
		return r, err
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return r, err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&r); err != nil {
		return r, fmt.Errorf("read the result: %w", err)
	}
	return r, nil
}
