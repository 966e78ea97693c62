package redis

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Durability says what a server must promise about what it has acknowledged.
type Durability string

// Strict asks that nothing can be lost but with the disk: each write is on disk
// before it is acknowledged. Managed believes a service that hides its settings;
// such services lose acknowledged votes at a failover. None asks nothing.
const (
	Strict  Durability = "strict"
	Managed Durability = "managed"
	None    Durability = "none"
)

// setting is one that a durable server must have.
type setting struct {
	name, value string
	// cost says what is lost otherwise.
	cost string
}

func (d Durability) settings() []setting {
	keep := setting{"maxmemory-policy", "noeviction", "votes are dropped when memory is short"}
	if d == Managed {
		return []setting{keep}
	}
	return []setting{
		{"appendonly", "yes", "a restart loses every vote in it"},
		{"appendfsync", "always", "a power failure loses the last acknowledged votes"},
		{"no-appendfsync-on-rewrite", "no", "a power failure loses the votes acknowledged since the log began to be rewritten"},
		keep,
	}
}

// inspect logs in over a new connection and fails unless the server may be
// trusted with votes.
func inspect(conn net.Conn, c *Config) error {
	if c.Durability == None {
		return nil
	}
	t := newTalk(conn)
	if err := t.login(c.Username, c.Password); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	// Whether there is room is asked later, again and again.
	info, err := t.ask("INFO", "memory")
	if err != nil {
		return fmt.Errorf("ask how much memory is in use (its user needs +info): %w", err)
	}
	wanted := c.Durability.settings()
	found, err := t.config(wanted)
	var refused refusalError
	switch {
	case errors.As(err, &refused) && c.Durability == Managed:
		found = map[string]string{"maxmemory-policy": fieldOf(info[0], "maxmemory_policy")}
	case errors.As(err, &refused):
		return fmt.Errorf("whether it keeps what it acknowledges cannot be seen: its user needs +config|get; "+
			"or say that its durability is %q, and know that a managed service may lose acknowledged votes at a failover: %w", Managed, err)
	case err != nil:
		return fmt.Errorf("ask for its settings: %w", err)
	}
	if err := compare(wanted, found, c.Durability); err != nil || c.Durability == Managed {
		return err
	}
	return t.replays()
}

// replays fails unless the server takes back from its own log what a script has
// written. It reads the log as its default user, and leaves out of a transaction,
// without a word, what that user may not do. (Redis mended that in 2025,
// github.com/redis/redis/pull/14545, Valkey in 2026; how a version without it is to
// be set does no harm to one with it.)
func (t *talk) replays() error {
	answer, err := t.ask("ACL", "DRYRUN", "default", "XADD", keyVotes, "*", "v", "x")
	var refused refusalError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("whether it reads its log again cannot be seen: its user needs +acl|dryrun: %w", err)
	case err != nil:
		return fmt.Errorf("ask for the rights of its default user: %w", err)
	case answer[0] != "OK":
		return errors.New("it would lose votes: a restart leaves out what its default user may not write; " +
			`set "ACL SETUSER default off ~* &* +@all", which lets nobody in`)
	}
	return nil
}

// compare says which settings are not as wanted, how to change that, and what it
// costs not to.
func compare(wanted []setting, found map[string]string, d Durability) error {
	var set, costs []string
	for _, w := range wanted {
		if found[w.name] == w.value || found[w.name] == "" && d == Managed {
			continue
		}
		set = append(set, fmt.Sprintf("%s %s (is %q)", w.name, w.value, found[w.name]))
		costs = append(costs, w.cost)
	}
	if len(set) == 0 {
		return nil
	}
	return fmt.Errorf("it would lose votes: set %s in its configuration, or else %s; a durability of %q asks for none of this",
		strings.Join(set, ", "), strings.Join(costs, ", "), None)
}

// config returns settings of the server.
func (t *talk) config(wanted []setting) (map[string]string, error) {
	question := []string{"CONFIG", "GET"}
	for _, w := range wanted {
		question = append(question, w.name)
	}
	answer, err := t.ask(question...)
	if err != nil {
		return nil, err
	}
	found := make(map[string]string, len(wanted))
	for i := 0; i+1 < len(answer); i += 2 {
		found[answer[i]] = answer[i+1]
	}
	return found, nil
}

// fieldOf returns a field of what INFO says, empty when there is none.
func fieldOf(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
