package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fails starts Popeye, which must refuse to serve, and returns what it says.
func (l launch) fails(t *testing.T) ending {
	t.Helper()
	p := l.spawn(t)
	select {
	case <-p.log.serving:
		t.Fatal("Popeye serves")
	case <-p.exited:
	case <-time.After(patience): // which ending() will tell
	}
	return p.ending()
}

func TestPortInUseNamesTheFlagThatChoosesAnother(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	launch{listen: p.port()}.fails(t).want(1, p.port(), "in use", "--listen")
	ops := p.ops[len("http://"):]
	launch{args: []string{"--ops-addr", ops}}.fails(t).want(1, ops, "in use", "--ops-addr")
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
}

func TestDataFolderThatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	file := write(t, "data", "a file")
	launch{data: file}.fails(t).want(1, file)
	launch{data: filepath.Join(file, "below")}.fails(t).want(1, file)

	locked, l := t.TempDir(), launch{binary: plainBinary}
	if os.Getuid() == 0 {
		l.user = 65534 // root may write everywhere
	}
	if err := os.Chmod(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	l.data = locked
	l.fails(t).want(1, locked, "permission denied")
	l.data = filepath.Join(locked, "below")
	l.fails(t).want(1, locked, "permission denied")
}

func TestSecondProcessOnADataFolderIsRefusedAndTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	launch{data: p.data}.fails(t).want(1, p.data, "in use")
	p.visitor().cast("cats-dogs", "b").wants(t, http.StatusCreated)
	p.kill()
	// A process that was killed keeps nobody out.
	launch{data: p.data}.start(t).result("cats-dogs").wantCounts(t, 2, map[string]int64{"a": 1, "b": 1})
}

func TestDamagedDatabaseIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	for range 20 {
		p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	}
	p.stop()
	database := filepath.Join(p.data, "popeye.db")
	whole, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"no database":     bytes.Repeat([]byte("garbage "), 2048),
		"an overwritten":  append(bytes.Clone(whole[:4096]), bytes.Repeat([]byte{0x55}, len(whole)-4096)...),
		"half of it":      whole[:len(whole)/2],
		"a damaged page":  overwritten(whole, len(whole)-4096, 512),
		"a damaged first": overwritten(whole, 16, 40),
	} {
		if err := os.WriteFile(database, text, 0o600); err != nil {
			t.Fatal(err)
		}
		e := launch{data: p.data}.fails(t).want(1, database, "left as it is", "backup")
		if t.Failed() {
			t.Fatalf("%s: %s", name, e.errors)
		}
		wantSame(t, database, text)
		for _, beside := range []string{"-wal", "-shm", "-journal"} {
			if _, err := os.Stat(database + beside); err == nil {
				t.Errorf("%s: there is a %s beside it now", name, beside)
			}
		}
	}
	if err := os.WriteFile(database, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	launch{data: p.data}.start(t).result("cats-dogs").wantCounts(t, 20, map[string]int64{"a": 20, "b": 0})
}

func TestDatabaseDamagedAfterAKillIsRefusedWithItsLog(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	p.stop() // moves all into the database; the log is of the next start alone
	p = launch{data: p.data}.start(t)
	p.visitor().cast("cats-dogs", "b").wants(t, http.StatusCreated)
	p.kill()
	database := filepath.Join(p.data, "popeye.db")
	files := map[string][]byte{database: nil, database + "-wal": nil}
	for file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		files[file] = text
	}
	garbage := bytes.Repeat([]byte("garbage "), len(files[database])/8)
	if err := os.WriteFile(database, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	launch{data: p.data}.fails(t).want(1, database)
	wantSame(t, database, garbage)
	wantSame(t, database+"-wal", files[database+"-wal"])
	if err := os.WriteFile(database, files[database], 0o600); err != nil {
		t.Fatal(err)
	}
	launch{data: p.data}.start(t).result("cats-dogs").wantCounts(t, 2, map[string]int64{"a": 1, "b": 1})
}

func TestBrokenKeyFileIsRefused(t *testing.T) {
	t.Parallel()
	short := write(t, "keys", "# mine\ntoo-short\n")
	launch{args: []string{"--cookie-key-file", short}}.fails(t).want(1, short, "line 2", "32")
	launch{args: []string{"--voter-key-file", short}}.fails(t).want(1, short, "line 2", "32")
	launch{args: []string{"--voter-key-file", short + ".not"}}.fails(t).want(1, short+".not")
	empty := write(t, "token", "\n")
	launch{args: []string{"--admin-token-file", empty}}.fails(t).want(1, empty, "empty")

	p := launch{}.start(t)
	p.stop()
	for _, name := range []string{"cookie.keys", "voter.keys", "admin-token"} {
		file := filepath.Join(p.data, name)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
		launch{data: p.data}.fails(t).want(1, file)
		wantSame(t, file, []byte{})
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Without the key of its round, each voter could vote again.
	key := filepath.Join(p.data, "voter.keys")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	launch{data: p.data}.fails(t).want(1, "cats-dogs", "voter.keys")
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	launch{data: p.data}.start(t)
}

func TestBrokenPollsFileIsRefusedWithLineAndReason(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"polls:\n  - id: p\n    question: Q\n    options: [{id: a}, {id: b}]\n    polcy: first\n": ":5:5: ",
		"polls:\n  - id: p\n    question: Q\n    options: [{id: a}]\n":                            ":4:14: ",
		"polls:\n\t- id: p\n": ":2:1: ",
		"":                    ": is empty",
	} {
		file := write(t, "polls.yaml", text)
		launch{args: []string{"--polls", file}}.fails(t).want(1, file+want)
	}
	missing := filepath.Join(t.TempDir(), "polls.yaml")
	launch{args: []string{"--polls", missing}}.fails(t).want(1, missing)
}

// wantSame checks that a file holds what it held.
func wantSame(t *testing.T, file string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s was changed", filepath.Base(file))
	}
}

// overwritten returns text with n bytes overwritten.
func overwritten(text []byte, at, n int) []byte {
	text = bytes.Clone(text)
	copy(text[at:at+n], bytes.Repeat([]byte{0xAA}, n))
	return text
}
