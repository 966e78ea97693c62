package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"

	"popeye/internal/config"
	"popeye/internal/drill"
)

// runDrill is "popeye drill".
func runDrill(ctx context.Context, p Process, cfg config.Drill) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	dc := drill.Config{
		Seed: cfg.Seed, Votes: cfg.Votes, Duration: cfg.Duration, Rate: cfg.Rate, Plan: cfg.Plan,
		Binary: binary, Servers: cfg.Queues, Copies: cfg.QueueCopies, Dir: cfg.Dir,
		Timeout: cfg.Timeout, Patience: cfg.Patience, Out: p.Stdout, Progress: p.Stderr,
	}
	if dc.Seed == 0 {
		dc.Seed = rand.Uint64() //nolint:gosec // a plan is no secret
	}
	if cfg.Server != "" {
		if dc.Token, err = config.ReadToken(cfg.TokenFile); err != nil {
			return wrong(err)
		}
		dc.Server = cfg.Server
	}
	report, err := drill.Run(ctx, dc)
	if err == nil && !report.OK() {
		err = errors.New("the drill has found something wrong")
	}
	return err
}
