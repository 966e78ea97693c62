package app

import (
	"context"
	"fmt"

	"popeye/internal/config"
	"popeye/internal/kube"
	"popeye/internal/voter"
)

// keepSecrets is "popeye secrets".
func keepSecrets(ctx context.Context, p Process, cfg config.Secrets) error {
	keep := kube.Config{
		Name: cfg.Name, Parts: cfg.Part, Given: cfg.Given, Labels: cfg.Label,
		Generate: voter.GenerateKey, Out: p.Stdout,
	}
	if err := keep.Validate(); err != nil {
		return wrong(err)
	}
	api, err := kube.Open(cfg.APIServer, cfg.Account)
	if err != nil {
		return err
	}
	err = insist(ctx, kube.ErrUnavailable, cfg.Wait,
		func(ctx context.Context) error { return kube.Keep(ctx, api, keep) }, func(error) {})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Stdout, "all Secrets are there")
	return err
}
