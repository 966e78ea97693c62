package main

import (
	"context"
	"os"
	"time"
)

// settleTime is how long a server rests before its memory at rest is read.
const settleTime = 2 * time.Second

// atRest measures what Popeye costs while nobody votes: to start, and to be there.
func (b *bench) atRest(ctx context.Context) error {
	info, err := os.Stat(b.popeye)
	if err != nil {
		return err
	}
	size := figure{name: "binary", target: 25, format: "%.1f MB"}
	b.table.of(size).add(float64(info.Size())/1e6, 0)
	for range b.starts {
		floor, err := b.timeStart(ctx, func() (*process, error) { return b.launchFloor(ctx, "cookie") })
		if err != nil {
			return err
		}
		popeye, err := b.timeStart(ctx, func() (*process, error) { return b.launchPopeye(ctx) })
		if err != nil {
			return err
		}
		const server = "bare net/http server"
		b.table.of(figure{name: "start to ready", target: 300, format: "%.0f ms", floor: server}).
			add(millis(popeye.ready), millis(floor.ready))
		b.table.of(figure{name: "start to first page", target: 300, format: "%.0f ms", floor: server}).
			add(millis(popeye.page), millis(floor.page))
		b.table.of(figure{name: "memory at rest", target: 30, format: "%.1f MB", floor: server}).
			add(popeye.memory, floor.memory)
	}
	b.say("at rest: %d starts measured", b.starts)
	return nil
}

// started is what a start came to.
type started struct {
	// ready and page are the times from the start to the first 200 of the
	// readiness check and of the page at /.
	ready, page time.Duration
	// memory is what the server holds a little later, in MB.
	memory float64
}

func (b *bench) timeStart(ctx context.Context, launch func() (*process, error)) (s started, err error) {
	p, err := launch()
	if err != nil {
		return s, err
	}
	defer p.stop()
	if err := p.await(ctx, p.ready); err != nil {
		return s, err
	}
	s.ready = time.Since(p.started)
	if err := p.await(ctx, p.url+"/"); err != nil {
		return s, err
	}
	s.page = time.Since(p.started)
	if err := wait(ctx, settleTime); err != nil {
		return s, err
	}
	s.memory, err = p.rss()
	return s, err
}
