package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"popeye"
)

// askWithin bounds what a pass asks of one queue server: one that hangs holds up
// the others no longer than this.
const askWithin = time.Second

// publish lets every queue know the definitions. It fails unless as many of them
// do as take each vote; the others are told of in the log, and tried again with
// the next pass.
func (w *Worker) publish(ctx context.Context, c *popeye.Catalog) error {
	failures := make([]error, len(w.servers))
	var asked sync.WaitGroup
	for i, s := range w.servers {
		asked.Go(func() { failures[i] = s.publish(ctx, c) })
	}
	asked.Wait()
	know := 0
	for _, err := range failures {
		if err == nil {
			know++
		}
	}
	w.health.publish(know)
	if know < w.Copies {
		return errors.Join(failures...)
	}
	for i, err := range failures {
		if err != nil {
			w.servers[i].failed(ctx, opPublish, err)
		}
	}
	return nil
}

func (s *server) publish(ctx context.Context, c *popeye.Catalog) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if err := s.Publisher.Publish(ctx, c); err != nil {
		return fmt.Errorf("publish %d polls: %w", len(c.All()), err)
	}
	return nil
}
