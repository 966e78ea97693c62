package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"popeye"
	"popeye/internal/client"
	"popeye/internal/lab"
	"popeye/internal/web"
)

const (
	// restartAfter is how long a part that has ended stays away.
	restartAfter = time.Second
	// endLimit bounds the wait for requests under way when all ends. Streams, which
	// do not end by themselves, get streamLimit.
	endLimit    = 10 * time.Second
	streamLimit = time.Second
	// headerLimit bounds the wait for the beginning of a request.
	headerLimit = 5 * time.Second
	// shownPolls is how many polls are announced.
	shownPolls = 5
)

// Show is what Up is told.
type Show struct {
	// Binary is the popeye to start.
	Binary string
	// Dir is where data, secrets and logs lie, made if it is missing. What is there
	// already is gone on with.
	Dir string
	// Listen is the address of the pages and the API.
	Listen string
	// Out is told what there is, and what becomes of it.
	Out io.Writer
}

// Up runs a Popeye for people until ctx is done: three queue servers with two
// copies of each vote, a database, two processes of each role and one of admin,
// behind one address. A part that ends is started again. It returns nil after a
// clean end, with all data in the folder.
func Up(ctx context.Context, cfg Show) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("take the address of the pages: %w", err)
	}
	defer func() { _ = listener.Close() }() // what serves on it closes it too
	fmt.Fprintf(cfg.Out, "Starting servers and roles, with their data in %s\n", cfg.Dir)
	setup, err := Start(ctx, Config{
		Binary: cfg.Binary, Dir: cfg.Dir, Servers: 3, Copies: 2,
		Replicas: map[Role]int{Poll: 2, Worker: 2, Result: 2, Admin: 1},
	})
	if err != nil {
		return unlessDone(ctx, err)
	}
	u := &up{Setup: setup, out: cfg.Out}
	err = unlessDone(ctx, u.run(ctx, listener))
	u.say("Ending")
	return errors.Join(err, u.Close()) //nolint:contextcheck // ends it even when ctx is done
}

// unlessDone returns err, or nil when it came of being told to end.
func unlessDone(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// up is a Popeye that is shown to people.
type up struct {
	*Setup

	mu  sync.Mutex // guards what is written
	out io.Writer
}

func (u *up) run(ctx context.Context, listener net.Listener) error {
	edge, err := u.Edge()
	if err != nil {
		return err
	}
	polls, err := u.polls(ctx)
	if err != nil {
		return err
	}
	u.announce("http://"+browsable(listener.Addr()), polls)
	running, ctx := errgroup.WithContext(ctx)
	for _, p := range u.Parts() {
		running.Go(func() error { u.keep(ctx, p); return nil })
	}
	running.Go(func() error { return serve(ctx, listener, edge) })
	return running.Wait()
}

// polls returns all polls, the first of which it makes.
func (u *up) polls(ctx context.Context) ([]web.Definition, error) {
	organiser := client.New(u.URLs(Admin)[0], u.Token)
	polls, err := organiser.List(ctx)
	if err != nil || len(polls) > 0 {
		return polls, err
	}
	first, _, err := organiser.Apply(ctx, popeye.Poll{
		ID:       "cats-dogs",
		Question: "Cats or dogs?",
		Options:  []popeye.Option{{ID: "a", Label: "Cats", Emoji: "🐱"}, {ID: "b", Label: "Dogs", Emoji: "🐶"}},
	}.WithDefaults())
	if err != nil {
		return nil, fmt.Errorf("make the first poll: %w", err)
	}
	for _, p := range u.Parts() {
		if p.Role != Poll {
			continue
		}
		if err := p.Await(ctx, lab.ReadyAt(p.URL+"/p/"+first.ID)); err != nil {
			return nil, fmt.Errorf("wait for the first poll: %w", err)
		}
	}
	return []web.Definition{first}, nil
}

// announce tells where to go next, and what there is to break.
func (u *up) announce(base string, polls []web.Definition) {
	polls = slices.DeleteFunc(polls, func(d web.Definition) bool { return d.State != popeye.Open })
	u.say("Popeye is ready: %s\n", base)
	for _, d := range polls[:min(len(polls), shownPolls)] {
		u.say("  %s\n    vote    %s/p/%s\n    result  %s/r/%s", d.Question, base, d.ID, base, d.ID)
	}
	u.say("\n  data     %s\n  token in %s\n  stop     Ctrl-C", u.path(""), u.path(tokenName))
	u.say("\nWhatever you break, no vote is lost. What ends is started again.\n")
	u.say("  %-9s %7s  %s", "part", "pid", "log")
	for _, p := range u.Parts() {
		u.say("  %-9s %7d  %s", p.Name, p.PID(), u.logFile(p.Name))
	}
	u.say("")
}

// browsable returns addr as a browser on this machine takes it.
func browsable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return addr.String()
}

// keep starts a part again whenever it has ended, until ctx is done.
func (u *up) keep(ctx context.Context, p *Part) {
	for {
		how := p.Wait(ctx)
		pause := time.NewTimer(restartAfter)
		if ctx.Err() == nil {
			u.say("%s has ended (%v)", p.Name, cmp.Or(how, errors.New("exit status 0")))
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		if err := p.Begin(ctx); err != nil {
			u.say("%s: %v", p.Name, err)
			continue
		}
		if err := p.awaitReady(ctx); err == nil { // or else it has ended again, or waits for something
			u.say("%s runs again, pid %d", p.Name, p.PID())
		}
	}
}

func (u *up) say(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fmt.Fprintf(u.out, format+"\n", args...)
}

// serve answers requests until ctx is done, and then those under way.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	// What does not end by itself ends with this.
	streams, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerLimit, ErrorLog: noLog(),
		BaseContext: func(net.Listener) context.Context { return streams },
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the pages: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	patience := time.AfterFunc(streamLimit, end)
	defer patience.Stop()
	return errors.Join(server.Shutdown(ctx), server.Close())
}
