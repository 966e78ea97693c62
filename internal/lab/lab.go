// Package lab starts real parts on free ports of this machine, and breaks them:
// redis-server, postgres, any other process, and the TCP links between them. The
// tests use it by way of labtest, and so do the drill, the local set-up and the
// benchmarks.
//
//	server, err := lab.StartRedis(ctx, lab.RedisConfig{})
//	defer server.Close()
//	link, err := lab.NewLink(ctx, server.Addr())
//	defer link.Close()
//	...          // a client that talks to link.Addr()
//	link.Freeze() // nothing passes any more, in either direction
//	server.Kill() // SIGKILL: what was not on disk is lost
//	err = server.Start(ctx) // the same port, the same data
//	link.Mend()
//
// Whatever is started ends with the process that started it, by whatever way
// that ends (on Linux), listens on 127.0.0.1 only, and is waited for: Start
// returns once the part answers, Kill and Stop once it is gone.
package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// lookEvery is the time between two looks at a fact that is waited for.
const lookEvery = 5 * time.Millisecond

// errEnded is what a fact says that can never come true any more.
var errEnded = errors.New("it ended")

// until waits until fact returns nil or errEnded, and says after ctx is done
// what it said last.
func until(ctx context.Context, fact func(context.Context) error) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		err := fact(ctx)
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}
