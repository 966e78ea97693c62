package config

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// WriteDocs writes the reference of all commands and settings as Markdown.
func WriteDocs(w io.Writer) error {
	none := Environment{Getenv: func(string) string { return "" }, Stdout: io.Discard, Stderr: io.Discard}
	parser, err := newParser(&CLI{}, none, func(int) {})
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# Commands and settings\n\n" +
		"Generated from the program by `make generate`; do not edit.\n\n" +
		"Every flag can also be set by its environment variable, lists separated by commas, or by a file that the\n" +
		"variable with `_FILE` behind it names, such as `POPEYE_DATABASE_FILE`: its content counts, without the newline\n" +
		"at its end. The flag wins; a variable and its `_FILE` at once are an error. Variables that end in `_FILE`\n" +
		"already name a file as they are. Passwords are never printed.\n\n" +
		"Exit codes: 0 when all is well, also after SIGTERM; 1 when something failed; 2 when a setting is wrong.\n")
	for _, command := range parser.Model.Leaves(true) {
		writeCommand(&b, command)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func writeCommand(b *strings.Builder, command *kong.Node) {
	fmt.Fprintf(b, "\n## popeye %s\n\n%s\n", strings.TrimSpace(command.Path()), command.Help)
	for _, arg := range command.Positional {
		fmt.Fprintf(b, "\n`%s`: %s\n", arg.Summary(), arg.Help)
	}
	writeForeign(b, command)
	header := "\n| flag | variable | default | meaning |\n|---|---|---|---|\n"
	for _, group := range command.AllFlags(true) {
		for _, flag := range group {
			if flag.Name == "help" {
				continue
			}
			b.WriteString(header)
			header = ""
			fmt.Fprintf(b, "| `%s` | `%s` | %s | %s |\n", flagName(flag), variable(flag.Name), standard(flag), cell(flag.Help))
		}
	}
}

// writeForeign says which settings a command refuses.
func writeForeign(b *strings.Builder, command *kong.Node) {
	for _, f := range foreignTo(command.Name) {
		var names []string
		for _, flag := range f.flags {
			names = append(names, code(variable(flag)))
		}
		fmt.Fprintf(b, "\nRefuses to start with %s: %s.\n", strings.Join(names, " or "), f.why)
	}
}

func flagName(flag *kong.Flag) string {
	name := "--" + flag.Name
	if flag.Short != 0 {
		name = "-" + string(flag.Short) + ", " + name
	}
	return name
}

// standard says what a flag is when nobody sets it.
func standard(flag *kong.Flag) string {
	if flag.Required {
		return "required"
	}
	return code(flag.Default)
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
