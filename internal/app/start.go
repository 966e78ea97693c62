package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"popeye"
	"popeye/internal/config"
	"popeye/internal/pollsfile"
	"popeye/internal/voter"
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

// readPolls returns the polls of a file, none when no file is given.
func readPolls(file string) ([]popeye.Poll, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the polls: %w", err)
	}
	return pollsfile.Parse(file, text)
}

// begin applies the polls given, or the classic one to a store that never had
// any, and lets the roles know what is there. It reports whether the store is
// new.
func (e *embedded) begin(ctx context.Context, polls []popeye.Poll, s secrets) (isNew bool, err error) {
	if isNew, err = e.store.IsUnused(ctx); err != nil {
		return false, err
	}
	if isNew && len(polls) == 0 {
		polls = []popeye.Poll{classic().WithDefaults()}
	}
	for _, poll := range polls {
		if _, _, err := e.store.Apply(ctx, poll, popeye.Open); err != nil {
			return false, fmt.Errorf("apply the poll %s: %w", poll.ID, err)
		}
	}
	if err := e.worker.Sync(ctx); err != nil {
		return false, err
	}
	return isNew, checkVoterKeys(e.queue.Catalog(), s.voters)
}

// checkVoterKeys makes sure that the voters of every round that may take votes
// can be recognised. With another key each of them could vote again.
func checkVoterKeys(polls *popeye.Catalog, keys *voter.Ring) error {
	for _, d := range polls.All() {
		if (d.State == popeye.Open || d.State == popeye.Draft) && d.VoterKey != "" && !keys.Has(d.VoterKey) {
			return fmt.Errorf("the poll %s knows its voters by the key %s, which is not among the voter keys given: "+
				"put it back into %s or --voter-key-file, as a line of its own", d.ID, d.VoterKey, config.VoterKeysName)
		}
	}
	return nil
}

// announce tells the person who started Popeye where to go next.
func (e *embedded) announce(p Process, cfg config.All, s secrets, isNew bool, addr net.Addr) {
	base := "http://" + browsable(addr)
	fmt.Fprintf(p.Stdout, "Popeye is ready.\n\n")
	for i, d := range e.queue.Catalog().OpenAt(time.Now()) {
		if i == 5 {
			fmt.Fprintf(p.Stdout, "  and more: %s/\n", base)
			break
		}
		fmt.Fprintf(p.Stdout, "  %s\n    vote    %s/p/%s\n    result  %s/r/%s\n", d.Question, base, d.ID, base, d.ID)
	}
	if host := reachable(addr); host != "" {
		fmt.Fprintf(p.Stdout, "\n  phones   http://%s\n", host)
	}
	fmt.Fprintf(p.Stdout, "\n  data     %s\n", filepath.Join(cfg.Data, databaseName))
	if cfg.AdminTokenFile == "" {
		// It is shown once: at the start that made it, or the first that went well.
		if s.newAdmin || isNew {
			fmt.Fprintf(p.Stdout, "  token    %s\n", s.admin)
		}
		fmt.Fprintf(p.Stdout, "  token in %s\n", filepath.Join(cfg.Data, config.AdminTokenName))
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

// reachable returns addr as other devices of the network take it, empty when it
// is not for them, or this machine is in no private network.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return ""
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range own {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsPrivate() && network.IP.To4() != nil {
			return net.JoinHostPort(network.IP.String(), strconv.Itoa(tcp.Port))
		}
	}
	return ""
}
