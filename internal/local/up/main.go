// Command up runs the distributed Popeye on this machine without containers, on the
// redis-server and the postgres that are installed:
//
//	make up-local
//
// docs/local.md says what can be done with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"popeye/internal/local"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel) // a second signal ends it at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// run runs a Popeye until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	show := local.Show{Out: stdout}
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&show.Binary, "popeye", "dist/popeye", "the `program` to start")
	flags.StringVar(&show.Dir, "dir", ".data/local", "`folder` of data, secrets and logs, which stays")
	flags.StringVar(&show.Listen, "listen", ":8080", "`address` of the pages and the API")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil || flags.NArg() > 0 {
		return exitUsage
	}
	if err := local.Up(ctx, show); err != nil {
		fmt.Fprintf(stderr, "up: %v\n", err)
		return exitFailed
	}
	return exitOK
}
