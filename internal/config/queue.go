package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

const (
	// defaultQueuePort is where Redis listens unless it is told otherwise.
	defaultQueuePort = "6379"
	// maxServers bounds the queue servers.
	maxServers = 16
)

// Queue says which queue servers there are, and how they are used.
type Queue struct {
	URLs []Secret `name:"queue" required:"" placeholder:"URL" help:"Address of a queue server, such as redis://10.0.0.1:6379; rediss:// for TLS; valkey:// and valkeys:// are the same. Give several, by repeating it or separated by commas, the same to every role: each stands alone, none is a replica of another."`
	QueueAccess
}

func (q *Queue) complete() error { return q.QueueAccess.complete(q.URLs) }

// QueueAccess says how queue servers are used, beside where they are.
type QueueAccess struct {
	Copies       int    `name:"queue-copies" placeholder:"N" help:"How many queue servers have to have a vote before it is acknowledged; more than half of them. Default: 1 of one, 2 of three, 3 of five."`
	Username     string `name:"queue-username" placeholder:"NAME" help:"User for the queue servers whose address names none."`
	PasswordFile string `name:"queue-password-file" placeholder:"FILE" type:"path" help:"File with the password for the queue servers whose address has none."`
	CAFile       string `name:"queue-ca-file" placeholder:"FILE" type:"path" help:"Certificates, as PEM, of those who may vouch for queue servers with TLS. Default: those that the system trusts."`
	Durability   string `name:"queue-durability" default:"strict" enum:"strict,managed,none" placeholder:"LEVEL" help:"strict: refuse a server that could lose what it has acknowledged. managed: believe a service that hides its settings; it may lose acknowledged votes at a failover. none: any server; a crash may lose acknowledged votes. For tests."`

	// Servers are those at the addresses given, checked.
	Servers []Server `kong:"-"`
	// Roots is what CAFile holds, nil for those that the system trusts.
	Roots *x509.CertPool `kong:"-"`
}

// Room says how full a queue server may get.
type Room struct {
	QueueRoom float64 `default:"0.8" placeholder:"SHARE" help:"Share of a queue server's memory (its maxmemory) up to which it takes votes; above that they are answered 503: refused, never lost. As it fills, recorded votes are kept for less and less long. The same for poll and worker."`
}

func (r Room) checkRoom() error {
	if !(r.QueueRoom > 0 && r.QueueRoom <= 1) {
		return errors.New("--queue-room must be above 0 and at most 1")
	}
	return nil
}

// Server is one queue server.
type Server struct {
	// Place is its host and port.
	Place    string
	Username string
	Password Secret
	TLS      bool
}

// complete checks the addresses and all that goes with them.
func (q *QueueAccess) complete(urls []Secret) error {
	if len(urls) > maxServers {
		return fmt.Errorf("--queue names %d servers, at most %d are of use", len(urls), maxServers)
	}
	for i, text := range urls {
		s, err := parseServer(strings.TrimSpace(text.Reveal()))
		if err != nil {
			return fmt.Errorf("--queue, address %d: %w", i+1, err)
		}
		q.Servers = append(q.Servers, s)
	}
	for _, check := range []func() error{q.checkPlaces, q.completeCopies, q.completePasswords, q.readRoots} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// parseServer reads one address. Its errors do not show it: it may hold a
// password, and a mistake in it may be anywhere.
func parseServer(text string) (Server, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return Server{}, errors.New("must be like redis://host:6379 or redis://user:password@host:6379, and is not " +
			"(in a password, signs such as / @ : # are written as %2F %40 %3A %23; --queue-password-file takes it as it is)")
	}
	s := Server{Username: u.User.Username()}
	if password, ok := u.User.Password(); ok {
		s.Password = Secret(password)
	}
	if s.TLS, err = usesTLS(u.Scheme); err != nil {
		return Server{}, err
	}
	if path := strings.Trim(u.Path, "/"); path != "" && path != "0" || u.RawQuery != "" || u.Fragment != "" {
		return Server{}, errors.New("has something behind host and port; Popeye uses database 0 of a server of its own, and takes no options there")
	}
	port := u.Port()
	if port == "" {
		port = defaultQueuePort
	}
	s.Place = net.JoinHostPort(strings.ToLower(u.Hostname()), port)
	return s, nil
}

func usesTLS(scheme string) (bool, error) {
	switch scheme {
	case "redis", "valkey":
		return false, nil
	case "rediss", "valkeys":
		return true, nil
	default:
		return false, fmt.Errorf("must begin with redis://, rediss://, valkey:// or valkeys://, not %s://", scheme)
	}
}

// checkPlaces fails when a server is named twice: two copies in one place are
// lost together.
func (q *QueueAccess) checkPlaces() error {
	seen := map[string]bool{}
	for _, s := range q.Servers {
		if seen[s.Place] {
			return fmt.Errorf("--queue names %s twice: each address must be another server", s.Place)
		}
		seen[s.Place] = true
	}
	return nil
}

// completeCopies sets the number of copies, or says why the one given cannot
// work.
func (q *QueueAccess) completeCopies() error {
	servers := len(q.Servers)
	if q.Copies == 0 {
		q.Copies = servers/2 + 1
	}
	if q.Copies < 1 || q.Copies > servers {
		return fmt.Errorf("--queue-copies must be 1 to the number of queue servers (%d), is %d", servers, q.Copies)
	}
	if 2*q.Copies <= servers {
		return fmt.Errorf("--queue-copies %d of %d servers is too few: it must be more than half of them, at least %d, "+
			"or two votes of one voter could be acknowledged by servers that do not know of each other", q.Copies, servers, servers/2+1)
	}
	return nil
}

// completePasswords gives the servers whose address says nothing the user and
// the password that all share.
func (q *QueueAccess) completePasswords() error {
	var shared Secret
	if q.PasswordFile != "" {
		text, err := readValue(q.PasswordFile)
		if err != nil {
			return fmt.Errorf("--queue-password-file: %w", err)
		}
		shared = Secret(text)
	}
	for i := range q.Servers {
		s := &q.Servers[i]
		if s.Username == "" {
			s.Username = q.Username
		}
		if s.Password == "" {
			s.Password = shared
		}
		if s.Username != "" && s.Password == "" {
			return fmt.Errorf("there is a user for the queue server %s, but no password: put one into the address, or into a file for --queue-password-file", s.Place)
		}
	}
	return nil
}

func (q *QueueAccess) readRoots() error {
	if q.CAFile == "" {
		return nil
	}
	for _, s := range q.Servers {
		if !s.TLS {
			return fmt.Errorf("--queue-ca-file is given, but %s is asked without TLS: use rediss://", s.Place)
		}
	}
	text, err := os.ReadFile(q.CAFile)
	if err != nil {
		return fmt.Errorf("--queue-ca-file: %w", err)
	}
	q.Roots = x509.NewCertPool()
	if !q.Roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("--queue-ca-file: there is no certificate in %s", q.CAFile)
	}
	return nil
}
