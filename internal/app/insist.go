package app

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// insist does something again and again while it fails with away, for limit and one
// more try at most. Waiting is told, once, why it has to be waited.
func insist(ctx context.Context, away error, limit time.Duration, do func(context.Context) error, waiting func(why error)) error {
	began := time.Now()
	said := false
	for {
		err := do(ctx)
		if !errors.Is(err, away) || ctx.Err() != nil {
			return err
		}
		if time.Since(began) >= limit {
			return fmt.Errorf("waited %s: %w", limit, err)
		}
		if !said {
			said = true
			waiting(err)
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
		}
	}
}
