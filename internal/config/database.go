package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Database says where the database is.
type Database struct {
	DSN          Secret `name:"database" required:"" placeholder:"URL" help:"The PostgreSQL database, such as postgres://user@host:5432/popeye, or as keywords: host=db user=popeye dbname=popeye."`
	PasswordFile string `name:"database-password-file" placeholder:"FILE" type:"path" help:"File with the password of the database's user, where --database has none."`
}

func (d *Database) complete() error {
	text := strings.TrimSpace(d.DSN.Reveal())
	u, err := parseDSN(text)
	if err != nil || d.PasswordFile == "" {
		return err
	}
	if hasPassword(text, u) {
		return errors.New("--database has a password, and --database-password-file is given too: only one of them can be meant")
	}
	password, err := readValue(d.PasswordFile)
	if err != nil {
		return fmt.Errorf("--database-password-file: %w", err)
	}
	if u != nil {
		u.User = url.UserPassword(u.User.Username(), password)
		d.DSN = Secret(u.String())
		return nil
	}
	d.DSN = Secret(text + " password=" + quoted(password))
	return nil
}

// parseDSN checks the form of a data source name. It returns nil for one that
// is made of keywords. Its errors do not show it: it may hold a password.
func parseDSN(text string) (*url.URL, error) {
	scheme, _, isURL := strings.Cut(text, "://")
	if isURL && !strings.Contains(scheme, "=") {
		if scheme != "postgres" && scheme != "postgresql" {
			return nil, errors.New("--database must begin with postgres:// or postgresql://, or be made of keywords such as host=db dbname=popeye")
		}
		u, err := url.Parse(text)
		if err != nil {
			return nil, errors.New("--database must be like postgres://user:password@host:5432/popeye, and is not " +
				"(in a password, signs such as / @ : # are written as %2F %40 %3A %23; --database-password-file takes it as it is)")
		}
		return u, nil
	}
	if !strings.Contains(text, "=") {
		return nil, errors.New("--database must be like postgres://user@host:5432/popeye, or made of keywords such as host=db dbname=popeye")
	}
	return nil, nil
}

func hasPassword(text string, u *url.URL) bool {
	if u == nil {
		return regexp.MustCompile(`(^|\s)password\s*=`).MatchString(text)
	}
	_, ok := u.User.Password()
	return ok || u.Query().Has("password")
}

// quoted writes a value as keyword data source names have it.
func quoted(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
