package app

import (
	"context"
	"fmt"

	"popeye"
	"popeye/internal/config"
	"popeye/internal/postgres"
)

// migrate is "popeye migrate".
func migrate(ctx context.Context, p Process, cfg config.Migrate) error {
	store, err := openStore(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer store.Shutdown()
	err = insist(ctx, popeye.ErrUnavailable, cfg.Wait,
		func(ctx context.Context) error { return postgres.Migrate(ctx, cfg.DSN.Reveal()) },
		func(why error) {
			fmt.Fprintf(p.Stderr, "popeye: waiting for the database, %s at most: %v\n", cfg.Wait, why)
		})
	if err != nil {
		return err
	}
	if err := store.Ready(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.Stdout, "the database's schema is up to date")
	return err
}
