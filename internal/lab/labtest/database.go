package labtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"popeye/internal/lab"
)

// shared is the server that all tests of a binary share for their databases.
var shared sharedServer

type sharedServer struct {
	mu sync.Mutex
	// inMain: Main will stop the server.
	inMain bool
	server *lab.Postgres
	failed error
	made   int
}

// Main runs the tests of a package that uses Database, stops the server that they
// have shared, and checks that no goroutine is left, as goleak.VerifyTestMain
// does. It never returns. A package calls it as its TestMain:
//
//	func TestMain(m *testing.M) { labtest.Main(m) }
func Main(m *testing.M, options ...goleak.Option) {
	shared.begin()
	code := m.Run()
	err := shared.stop()
	if code == 0 {
		err = errors.Join(err, goleak.Find(options...))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Database makes an empty database for one test, on a server without fsync that
// the tests of a package share, and returns its URL as the superuser. The
// package's TestMain must be Main.
func Database(tb testing.TB) (dsn string) {
	tb.Helper()
	ctx, cancel := limit(tb)
	defer cancel()
	server, name, err := shared.reserve(ctx)
	if err == nil {
		err = server.CreateDatabase(ctx, name)
	}
	if err != nil {
		tb.Fatalf("make a database: %v", err)
	}
	tb.Cleanup(func() {
		// The test's own context is done by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), patience)
		defer cancel()
		if err := server.DropDatabase(ctx, name); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return server.DSN(name)
}

func (s *sharedServer) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inMain = true
}

// reserve returns the server, started at first use, and a name that no other
// database has.
func (s *sharedServer) reserve(ctx context.Context) (*lab.Postgres, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inMain {
		return nil, "", errors.New("the package's TestMain must call labtest.Main, which stops the shared server")
	}
	if s.server == nil && s.failed == nil {
		s.server, s.failed = lab.StartPostgres(ctx, lab.PostgresConfig{
			Settings: []string{"fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off"},
		})
	}
	s.made++
	return s.server, fmt.Sprintf("test_%d", s.made), s.failed
}

func (s *sharedServer) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inMain = false
	if s.server == nil {
		return nil
	}
	return s.server.Close()
}
