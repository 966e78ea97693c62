// Package app is the composition root: it turns settings into parts, parts into
// roles, and runs them. It is the only package that knows every other.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"popeye/internal/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Process is what the program is started with.
type Process struct {
	// Args are the arguments without the program's name.
	Args []string
	// Getenv looks up an environment variable.
	Getenv         func(string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Version is the version that was built, empty for what the build recorded.
	Version string
}

// Run runs the command that the process was started with until it ends or ctx
// is done, and returns the exit code: 0 when all is well, 1 when the command
// failed, 2 when it was not understood.
func Run(ctx context.Context, p Process) int {
	cli, command, err := config.Parse(config.Environment{Args: p.Args, Getenv: p.Getenv, Stdout: p.Stdout, Stderr: p.Stderr})
	if errors.Is(err, config.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "popeye: %v\n", err)
		return exitUsage
	}
	if err := run(ctx, p, cli, command); err != nil {
		fmt.Fprintf(p.Stderr, "popeye: %v\n", err)
		if errors.As(err, new(*settingError)) {
			return exitUsage
		}
		return exitFailed
	}
	return exitOK
}

func run(ctx context.Context, p Process, cli *config.CLI, command string) error {
	word, _, _ := strings.Cut(command, " ")
	switch word {
	case "all":
		return serveAll(ctx, p, cli.All)
	case "poll":
		return servePoll(ctx, p, cli.Poll)
	case "worker":
		return runWorker(ctx, p, cli.Worker)
	case "result":
		return serveResult(ctx, p, cli.Result)
	case "admin":
		return serveAdmin(ctx, p, cli.Admin)
	default:
		return runTool(ctx, p, cli, command)
	}
}

// runTool runs a command that ends by itself.
func runTool(ctx context.Context, p Process, cli *config.CLI, command string) error {
	word, _, _ := strings.Cut(command, " ")
	switch word {
	case "migrate":
		return migrate(ctx, p, cli.Migrate)
	case "polls":
		return managePolls(ctx, p, cli.Polls, command)
	case "parked":
		return manageParked(ctx, p, cli.Parked, command)
	case "replay":
		return replay(ctx, p, cli.Replay)
	case "verify":
		return verify(ctx, p, cli.Verify)
	case "secrets":
		return keepSecrets(ctx, p, cli.Secrets)
	case "health":
		return checkHealth(ctx, p, cli.Health)
	case "load":
		return castLoad(ctx, p, cli.Load)
	case "drill":
		return runDrill(ctx, p, cli.Drill)
	case "docs":
		return config.WriteDocs(p.Stdout)
	default:
		_, err := fmt.Fprintln(p.Stdout, "popeye", versionOf(p))
		return err
	}
}

// settingError says that what the process was told cannot be right, as far as
// only whoever reads it all can see.
type settingError struct{ err error }

// Error says what is wrong.
func (e *settingError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong.
func (e *settingError) Unwrap() error { return e.err }

// wrong makes a settingError of an error, and nothing of none.
func wrong(err error) error {
	if err == nil {
		return nil
	}
	return &settingError{err}
}

// versionOf returns the version given at the build, or what Go recorded.
func versionOf(p Process) string {
	if p.Version != "" {
		return p.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
