package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

// PgBouncer gives each transaction another session, of which there are fewer
// than connections: nothing may rely on what was said on one before.
func TestAllWorksThroughAPoolThatGivesEachTransactionAnotherSession(t *testing.T) {
	t.Parallel()
	direct := openNew(t)
	dsn := lab.PostgresDSN(startPgBouncer(t, direct), "postgres", databaseOf(direct))
	s := openAt(t, dsn)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	polls := []popeye.Definition{createPoll(t, s, "p", popeye.First), createPoll(t, s, "q", popeye.Change)}
	heard := make(chan string, 1000)
	listening, cancel := context.WithCancel(t.Context())
	var listener, recorders errgroup.Group
	bell := newBell(t, openAt(t, dsn))
	listener.Go(func() error {
		return bell.Listen(listening, func(poll string) {
			select {
			case heard <- poll:
			default:
			}
		})
	})
	expectHeard(t, heard, popeye.EveryPoll)
	for flow := range 8 {
		recorders.Go(func() error {
			for n := range 20 {
				p := popeye.Progress{Server: "s", Worker: strconv.Itoa(flow), Batch: int64(n + 1)}
				if _, err := s.Record(t.Context(), someVotes(polls, 100), p); err != nil {
					return err
				}
				if _, err := s.Tally(t.Context(), "p"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := recorders.Wait(); err != nil {
		t.Fatal(err)
	}
	expectHeard(t, heard, "p")
	expectHeard(t, heard, "q")
	for _, d := range polls {
		finalise(t, s, d)
	}
	record(t, s, newVotes(polls[0], 1000, 10)...) // late
	if err := s.Certify(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectVerified(t, s)
	if err := s.Delete(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := listener.Wait(); err != nil {
		t.Fatal(err)
	}
}

func expectHeard(t *testing.T, heard <-chan string, want string) {
	t.Helper()
	until(t, fmt.Sprintf("%q is heard", want), func() bool {
		for {
			select {
			case poll := <-heard:
				if poll == want {
					return true
				}
			default:
				return false
			}
		}
	})
}

// startPgBouncer starts a pool in front of a store's server, or skips the test
// where there is no program for it. It returns its address.
func startPgBouncer(t *testing.T, s *Store) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !isFile(program) {
			t.Skip("pgbouncer is not installed")
		}
	}
	port, err := lab.NewPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { labtest.Do(t, port.Close) })
	folder := t.TempDir()
	cfg := s.pool.Config().ConnConfig
	users, config := filepath.Join(folder, "users"), filepath.Join(folder, "pgbouncer.ini")
	for path, content := range map[string]string{
		users: `"postgres" ""`,
		config: fmt.Sprintf(`[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 3
max_client_conn = 100
`, cfg.Host, cfg.Port, port, users),
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	process := labtest.Process(t, lab.Command{Path: program, Args: []string{config}, Account: unprivileged(t, folder), Ready: func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, lab.PostgresDSN(port.Addr(), "postgres", cfg.Database))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}})
	labtest.Start(t, process)
	return port.Addr()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// unprivileged returns an account that may read a folder, where we are root:
// servers refuse to be that.
func unprivileged(t *testing.T, folder string) *lab.Account {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, errUID := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(nobody.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		t.Fatal(err)
	}
	makeReadable(t, folder)
	return &lab.Account{UID: uint32(uid), GID: uint32(gid)}
}

// makeReadable lets everybody into a test's own folder.
func makeReadable(t *testing.T, folder string) {
	t.Helper()
	for ; folder != filepath.Clean(os.TempDir()); folder = filepath.Dir(folder) {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
