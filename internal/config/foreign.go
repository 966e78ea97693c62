package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// foreign are settings of other roles that a role must not have, and why. Only
// those count that open a way to another part, or a secret: a role that has them
// can do more than it should. Of other names the environment may hold any
// number; a cluster makes some by itself, such as POPEYE_POLL_PORT.
type foreign struct {
	flags []string
	why   string
}

// foreignTo returns what a command refuses.
func foreignTo(command string) []foreign {
	var (
		database = []string{"database", "database-password-file"}
		queue    = []string{"queue", "queue-password-file"}
		token    = []string{"admin-token-file"}
		voter    = []string{"voter-key-file"}
		keys     = []string{"voter-key-file", "cookie-key-file"}
	)
	switch command {
	case "all":
		return []foreign{
			{database, "all keeps its votes in the data folder and never reaches another database"},
			{queue, "all has its queue in itself and never reaches another one"},
		}
	case "poll":
		return []foreign{{database, "poll never reaches the database"}, {token, "poll manages no polls"}}
	case "worker":
		return []foreign{
			{[]string{"listen"}, "nobody reaches the worker"},
			{keys, "the worker never knows who votes"},
			{token, "the worker manages no polls"},
		}
	case "result":
		return []foreign{
			{queue, "result never reaches the queue"},
			{voter, "result never knows who votes"},
			{token, "result manages no polls"},
		}
	case "admin":
		return []foreign{{queue, "admin never reaches the queue"}, {keys, "admin never knows who votes"}}
	case "migrate":
		return []foreign{
			{queue, "migrate never reaches the queue"},
			{keys, "migrate never knows who votes"},
			{token, "migrate manages no polls"},
		}
	default:
		return nil
	}
}

// refuseForeign fails when the environment has a setting that is not the
// command's own.
func refuseForeign(command string, getenv func(string) string) error {
	for _, f := range foreignTo(command) {
		for _, flag := range f.flags {
			for _, name := range foreignVariables(flag) {
				if getenv(name) != "" {
					return fmt.Errorf("%s is set, but %s: start it without", name, f.why)
				}
			}
		}
	}
	return nil
}

// foreignVariables returns the variables that would give a role what the flag
// sets.
func foreignVariables(flag string) []string {
	name := variable(flag)
	if namesFile(flag) { // whoever has put the secret itself there has given it away as well
		return []string{name, strings.TrimSuffix(name, fileSuffix)}
	}
	return []string{name, name + fileSuffix}
}

// explained adds to an error of the parser why a flag that other roles have is
// none of this one, and takes passwords out of what it repeats.
func explained(err error, args []string) error {
	text := regexp.MustCompile(`(://[^:@/\s]*):\S*@`).ReplaceAllString(err.Error(), "$1:"+redacted+"@")
	if text != err.Error() {
		err = errors.New(text)
	}
	if len(args) == 0 {
		return err
	}
	for _, f := range foreignTo(args[0]) {
		for _, flag := range f.flags {
			if strings.Contains(text, "unknown flag --"+flag) {
				return fmt.Errorf("unknown flag --%s: %s", flag, f.why)
			}
		}
	}
	return err
}
