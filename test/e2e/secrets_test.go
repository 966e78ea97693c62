package e2e

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestOnlyTheOwnerCanReadTheDataFolder(t *testing.T) {
	t.Parallel()
	careless := filepath.Join(t.TempDir(), "careless")
	script := "#!/bin/sh\numask 0\nexec " + popeyeBinary + " \"$@\"\n"
	if err := os.WriteFile(careless, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	p := launch{binary: careless}.start(t)
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	files := 0
	err := filepath.WalkDir(p.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has the mode %04o, want %04o", filepath.Base(path), got, want)
		}
		return nil
	})
	if err != nil || files < 4 {
		t.Errorf("found %d files in the data folder: %v", files, err)
	}
}

func TestNothingTellsWhoChoseWhat(t *testing.T) {
	t.Parallel()
	p := launch{args: []string{"--log-level", "debug"}}.start(t)
	poll := `{"id":"p","question":"Which?","policy":"change","options":[{"id":"xylophone","label":"Theremin"},{"id":"kazoo","label":"Ocarina"}]}`
	p.admin(http.MethodPost, "", poll).wants(t, http.StatusCreated)
	secrets := []string{"xylophone", "kazoo", "Theremin", "Ocarina"}
	secrets = append(secrets, castInEveryWay(t, p)...)
	for _, name := range []string{"admin-token", "cookie.keys", "voter.keys"} {
		text, err := os.ReadFile(filepath.Join(p.data, name))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, strings.TrimSpace(string(text)))
	}
	metrics := p.metrics()
	p.stop()
	token := secrets[len(secrets)-3]
	told := strings.ReplaceAll(p.out.String(), token, "") // the first start prints it, for the organiser
	for place, text := range map[string]string{"standard output": told, "the log": p.log.String(), "the metrics": metrics} {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %q is in it:\n%s", place, secret, text)
			}
		}
	}
	// Later starts print no token.
	p = launch{data: p.data, args: []string{"--log-level", "debug"}}.start(t)
	p.stop()
	if strings.Contains(p.out.String()+p.log.String(), token) {
		t.Error("a later start tells the administration token")
	}
}

// castInEveryWay makes votes that stand and votes that do not, and returns all
// by which they could be known again.
func castInEveryWay(t *testing.T, p *process) []string {
	t.Helper()
	var secrets []string
	note := func(r reply) reply {
		for _, cookie := range r.header.Values("Set-Cookie") {
			value, _, _ := strings.Cut(cookie, ";")
			_, value, _ = strings.Cut(value, "=")
			secrets = append(secrets, value)
		}
		for _, pattern := range []string{`name="voter" value="([^"]+)"`, `<code[^>]*>([^<]+)</code>`, `"receipt":"([^"]+)"`} {
			for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(r.body, -1) {
				secrets = append(secrets, found[1])
			}
		}
		return r
	}
	page := p.visitor()
	note(page.get("/p/p")).wants(t, http.StatusOK)
	note(page.form("vote=xylophone")).wants(t, http.StatusSeeOther)
	note(page.form("vote=kazoo")).wants(t, http.StatusSeeOther)
	note(page.form("vote=kazoo")).wants(t, http.StatusSeeOther)
	note(page.form("vote=xylophone&after=1")).wants(t, http.StatusConflict)
	note(page.form("vote=bassoon-of-mine")).wants(t, http.StatusUnprocessableEntity)
	note(page.get("/p/p")).wants(t, http.StatusOK)
	api := p.visitor()
	note(api.cast("p", "xylophone", "Idempotency-Key", "my-secret-key-1")).wants(t, http.StatusCreated)
	note(api.cast("p", "kazoo", "Idempotency-Key", "my-secret-key-2")).wants(t, http.StatusOK)
	note(api.do(http.MethodPost, "/api/v1/votes/p", `{"choices":["xylophone"`, "Content-Type", "application/json")).wants(t, http.StatusBadRequest)
	note(api.do(http.MethodPost, "/api/v1/votes/p?vote=kazoo", choosing("kazoo"), "Content-Type", "text/plain")).wants(t, http.StatusUnsupportedMediaType)
	p.upload("/p/p", "application/x-www-form-urlencoded", "vote=xylophone&half=1").conn.Close() //nolint:errcheck // cut off on purpose
	p.admin(http.MethodPatch, "/p", `{"state":"closed"}`).wants(t, http.StatusOK)
	note(api.cast("p", "kazoo", "Idempotency-Key", "my-secret-key-3")).wants(t, http.StatusGone)
	if len(secrets) < 8 {
		t.Fatalf("found only %d secrets to look for: %q", len(secrets), secrets)
	}
	return append(secrets, "my-secret-key", "bassoon-of-mine")
}
