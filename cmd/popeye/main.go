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
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		// From here on a second signal ends the process at once, whatever is in
		// flight. That must hold before anybody can see that the end has begun.
		signal.Stop(signals)
		cancel()
	}()
	code := app.Run(ctx, app.Process{
		Args:    os.Args[1:],
		Getenv:  os.Getenv, //nolint:forbidigo // the one place where the environment enters
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Version: version,
	})
	cancel()
	os.Exit(code)
}
