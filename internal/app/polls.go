package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"popeye"
	"popeye/internal/client"
	"popeye/internal/config"
	"popeye/internal/pollsfile"
	"popeye/internal/web"
)

// finalWithin is how long "popeye polls close" waits for the final result.
const finalWithin = 10 * time.Second

// managePolls is "popeye polls ...".
func managePolls(ctx context.Context, p Process, cfg config.Polls, command string) error {
	c, err := organiser(cfg.Organiser)
	if err != nil {
		return err
	}
	switch verb := strings.Fields(command)[1]; verb {
	case "apply":
		return applyPolls(ctx, p, c, cfg.Apply.File)
	case "list":
		return listPolls(ctx, p, c, cfg.List.JSON)
	case "open":
		return setState(ctx, p, c, cfg.Open.Poll, popeye.Open)
	case "close":
		return closePoll(ctx, p, c, cfg.Close.Poll)
	case "finalise":
		return finalisePoll(ctx, p, c, cfg.Finalise.Poll)
	case "delete":
		if err := c.Delete(ctx, cfg.Delete.Poll); err != nil {
			return fmt.Errorf("delete %s: %w", cfg.Delete.Poll, err)
		}
		_, err := fmt.Fprintf(p.Stdout, "%s: deleted\n", cfg.Delete.Poll)
		return err
	default:
		text, err := c.Export(ctx, cfg.Export.Poll, cfg.Export.Format)
		if err != nil {
			return fmt.Errorf("export %s: %w", cfg.Export.Poll, err)
		}
		_, err = p.Stdout.Write(text)
		return err
	}
}

// organiser returns a client that may manage what the settings name.
func organiser(cfg config.Organiser) (*client.Client, error) {
	token, err := config.ReadToken(cfg.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("%w\nIt is what \"popeye all\" printed at its first start, or what \"popeye admin\" was given; say where it is with --token-file", err)
	}
	return client.New(cfg.Server, token), nil
}

// applyPolls applies every poll of the file, and tells at the end of all that
// was refused.
func applyPolls(ctx context.Context, p Process, c *client.Client, file string) error {
	text, err := readFile(p, file)
	if err != nil {
		return err
	}
	polls, err := pollsfile.Parse(file, text)
	if err != nil {
		return err
	}
	var refused []error
	for _, poll := range polls {
		d, created, err := c.Apply(ctx, poll)
		if err != nil {
			refused = append(refused, fmt.Errorf("apply %s: %w", poll.ID, err))
			continue
		}
		done := "applied"
		if created {
			done = "created"
		}
		fmt.Fprintf(p.Stdout, "%s: %s, %s\n", d.ID, done, d.State)
	}
	return errors.Join(refused...)
}

func readFile(p Process, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(p.Stdin)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the polls: %w", err)
	}
	return text, nil
}

func listPolls(ctx context.Context, p Process, c *client.Client, asJSON bool) error {
	polls, err := c.List(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		out := json.NewEncoder(p.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(map[string]any{"polls": polls})
	}
	out := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "POLL\tSTATE\tROUND\tKIND\tPOLICY\tRESULTS\tQUESTION")
	for _, d := range polls {
		fmt.Fprintf(out, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", d.ID, d.State, d.Round, d.Kind, d.Policy, d.Results, d.Question)
	}
	return out.Flush()
}

// closePoll closes a poll and waits, a moment at most, until its result is
// final: whoever exports it next means that.
func closePoll(ctx context.Context, p Process, c *client.Client, poll string) error {
	if err := setState(ctx, p, c, poll, popeye.Closed); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, finalWithin)
	defer cancel()
	for {
		polls, err := c.List(ctx)
		if err == nil && slices.ContainsFunc(polls, func(d web.Definition) bool { return d.ID == poll && d.State == popeye.Final }) {
			_, err := fmt.Fprintf(p.Stdout, "%s: final\n", poll)
			return err
		}
		select {
		case <-ctx.Done():
			_, err := fmt.Fprintf(p.Stdout, "%s: provisional until what is in flight is counted\n", poll)
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// finalisePoll declares a closed poll final that waits for votes which may never
// come.
func finalisePoll(ctx context.Context, p Process, c *client.Client, poll string) error {
	d, err := c.SetState(ctx, poll, popeye.Final)
	if err != nil {
		return fmt.Errorf("declare %s final: %w", poll, err)
	}
	if !d.Incomplete {
		_, err = fmt.Fprintf(p.Stdout, "%s: %s, round %d; nothing was missing\n", d.ID, d.State, d.Round)
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "%s: %s, round %d, incomplete: votes that only lost queue servers had are not counted\n", d.ID, d.State, d.Round)
	return err
}

func setState(ctx context.Context, p Process, c *client.Client, poll string, s popeye.State) error {
	d, err := c.SetState(ctx, poll, s)
	if err != nil {
		return fmt.Errorf("set %s %s: %w", poll, s, err)
	}
	_, err = fmt.Fprintf(p.Stdout, "%s: %s, round %d\n", d.ID, d.State, d.Round)
	return err
}
