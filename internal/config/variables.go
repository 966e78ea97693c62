package config

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// fileSuffix, behind the name of a variable, makes it name a file that holds the
// value.
const fileSuffix = "_FILE"

// variable returns the name of the environment variable that sets a flag.
func variable(flag string) string {
	return "POPEYE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// namesFile reports whether a flag names a file anyway: then its variable, which
// ends in _FILE already, has no second form.
func namesFile(flag string) bool { return strings.HasSuffix(variable(flag), fileSuffix) }

// variables resolves flags from the environment.
func variables(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if flag.Name == "help" {
			return nil, nil //nolint:nilnil // how a resolver says that it knows nothing
		}
		value, err := lookUp(getenv, flag.Name)
		if value == "" || err != nil {
			return nil, err
		}
		return value, nil
	})
}

// lookUp returns the value that the environment has for a flag, empty for none.
func lookUp(getenv func(string) string, flag string) (string, error) {
	name := variable(flag)
	value := getenv(name)
	if namesFile(flag) {
		return value, nil
	}
	file := getenv(name + fileSuffix)
	switch {
	case file == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("both %s and %s are set: only one of them can be meant", name, name+fileSuffix)
	}
	text, err := readValue(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name+fileSuffix, err)
	}
	return text, nil
}

// readValue returns the content of a file without the newline at its end.
func readValue(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return "", fmt.Errorf("%s is empty", file)
	}
	return string(text), nil
}
