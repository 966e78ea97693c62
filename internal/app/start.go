package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"popeye"
	"popeye/internal/config"
	"popeye/internal/pollsfile"
	"popeye/internal/sqlite"
)

// classic is the poll that a first start makes when it is given none: the one of
// the classic example voting app, so that a newcomer has something to vote on.
func classic() popeye.Poll {
	return popeye.Poll{
		ID:       "cats-dogs",
		Question: "Cats or dogs?",
		Options: []popeye.Option{
			{ID: "a", Label: "Cats", Emoji: "🐱"},
			{ID: "b", Label: "Dogs", Emoji: "🐶"},
		},
	}
}

// seed applies the polls of a file to the store; without a file, the classic
// poll at a first start.
func seed(ctx context.Context, store *sqlite.Store, file string, isFirstStart bool) error {
	if file == "" {
		if !isFirstStart {
			return nil
		}
		_, _, err := store.Apply(ctx, classic().WithDefaults(), popeye.Open)
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the polls: %w", err)
	}
	polls, err := pollsfile.Parse(file, text)
	if err != nil {
		return err
	}
	for _, poll := range polls {
		if _, _, err := store.Apply(ctx, poll, popeye.Open); err != nil {
			return fmt.Errorf("apply the poll %s of %s: %w", poll.ID, file, err)
		}
	}
	return nil
}

// announce tells the person who started Popeye where to go next.
func (e *embedded) announce(p Process, cfg config.All, s secrets, addr net.Addr) {
	base := "http://" + browsable(addr)
	fmt.Fprintf(p.Stdout, "Popeye is ready.\n\n")
	for i, d := range e.queue.Catalog().All() {
		if i == 5 {
			fmt.Fprintf(p.Stdout, "  and more: %s/\n", base)
			break
		}
		fmt.Fprintf(p.Stdout, "  %s\n    vote    %s/p/%s\n    result  %s/r/%s\n", d.Question, base, d.ID, base, d.ID)
	}
	fmt.Fprintf(p.Stdout, "\n  data     %s\n", filepath.Join(cfg.Data, databaseName))
	if s.newAdmin {
		fmt.Fprintf(p.Stdout, "  admin    token %s\n           kept in %s, where \"popeye polls\" finds it\n",
			s.admin, filepath.Join(cfg.Data, config.AdminTokenName))
	}
	fmt.Fprintf(p.Stdout, "  stop     Ctrl-C\n\n")
}

// browsable returns addr as a browser on this machine takes it.
func browsable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return fmt.Sprintf("localhost:%d", tcp.Port)
}
