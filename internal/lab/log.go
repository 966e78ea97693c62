package lab

import (
	"fmt"
	"os"
	"sync"
)

const (
	// maxLog bounds the file that a process's log goes to, in bytes.
	maxLog = 64 << 20
	// maxTail bounds what is kept of it in memory.
	maxTail = 64 << 10
)

// log takes what a process writes. Its end is kept, and up to maxLog bytes go to
// a file.
type log struct {
	mu   sync.Mutex
	file *os.File
	size int64
	tail []byte
}

// newLog returns a log that goes on with the file of that name; empty: none.
func newLog(name string) (*log, error) {
	if name == "" {
		return &log{}, nil
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep a log: %w", err)
	}
	return &log{file: file}, nil
}

// Write never fails: a full disk must not hold up the process.
func (l *log) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, text...)
	if over := len(l.tail) - maxTail; over > maxTail {
		l.tail = append([]byte(nil), l.tail[over:]...)
	}
	if l.file != nil && l.size+int64(len(text)) <= maxLog {
		n, _ := l.file.Write(text) // as above
		l.size += int64(n)
	}
	return len(text), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail[max(0, len(l.tail)-maxTail):])
}

func (l *log) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}
