//go:build !windows

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// acquire takes the lock that keeps a second process out, and holds it until
// it is closed or the process ends, however it ends. It is a file beside the
// database, since closing any handle of the database itself would also drop
// the locks that SQLite holds on it.
func acquire(path string) (io.Closer, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock{file}, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s is in use: is another popeye running on it?", filepath.Dir(path))
	} else {
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, errors.Join(err, file.Close())
}

type lock struct{ file *os.File }

// Close gives the lock free. Closing the file would do so a moment later where
// a child process is just being started, which has it open until it runs.
func (l lock) Close() error {
	return errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
}
