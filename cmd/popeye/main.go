// Command popeye is live polling that never loses a vote: every role of it, and
// the tools to manage and to test it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"popeye/internal/app"
)

// version is set when a release is built: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, whatever is in flight.
	context.AfterFunc(ctx, stop)
	code := app.Run(ctx, app.Process{
		Args:    os.Args[1:],
		Getenv:  os.Getenv, //nolint:forbidigo // the one place where the environment enters
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Version: version,
	})
	stop()
	os.Exit(code)
}
