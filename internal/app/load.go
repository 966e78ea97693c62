package app

import (
	"context"
	"errors"

	"popeye/internal/config"
	"popeye/internal/load"
)

// castLoad is "popeye load".
func castLoad(ctx context.Context, p Process, cfg config.Load) error {
	report, err := load.Run(ctx, load.Config{
		URL: cfg.URL, ResultURL: cfg.ResultURL, Poll: cfg.Poll, Votes: cfg.Votes, Concurrency: cfg.Concurrency, Rate: cfg.Rate,
		Viewers: cfg.Viewers, Timeout: cfg.Timeout, Out: p.Stdout, Progress: p.Stderr,
	})
	if err == nil && !report.OK {
		err = errors.New("what was acknowledged is not what was counted")
	}
	return err
}
