package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"popeye/internal/client"
	"popeye/internal/config"
)

// manageParked is "popeye parked ...".
func manageParked(ctx context.Context, p Process, cfg config.Parked, command string) error {
	c, err := organiser(cfg.Organiser)
	if err != nil {
		return err
	}
	switch verb := strings.Fields(command)[1]; verb {
	case "retry":
		return retryParked(ctx, p, c, cfg.Retry.Round)
	case "drop":
		dropped, err := c.Drop(ctx, cfg.Drop.Round)
		if err != nil {
			return fmt.Errorf("drop the parked votes of round %d: %w", cfg.Drop.Round, err)
		}
		_, err = fmt.Fprintf(p.Stdout, "round %d: %d dropped; the ledger goes on counting them as rejected\n", cfg.Drop.Round, dropped)
		return err
	default:
		return listParked(ctx, p, c, cfg.List.JSON)
	}
}

func retryParked(ctx context.Context, p Process, c *client.Client, round int64) error {
	retried, err := c.Retry(ctx, round)
	if err != nil {
		return fmt.Errorf("retry the parked votes of round %d: %w", round, err)
	}
	_, err = fmt.Fprintf(p.Stdout, "round %d: %d recorded, %d stay parked\n", round, retried.Recorded, retried.Rejected)
	return err
}

func listParked(ctx context.Context, p Process, c *client.Client, asJSON bool) error {
	parked, err := c.Parked(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		out := json.NewEncoder(p.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(map[string]any{"parked": parked})
	}
	out := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "ROUND\tPOLL\tVOTES\tOLDEST\tNEWEST\tREASON")
	for _, group := range parked {
		fmt.Fprintf(out, "%d\t%s\t%d\t%s\t%s\t%s\n", group.Round, group.Poll, group.Votes,
			group.Oldest.Format(time.RFC3339), group.Newest.Format(time.RFC3339), group.Reason)
	}
	return out.Flush()
}
