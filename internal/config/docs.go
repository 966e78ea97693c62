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
		"Every flag can also be set by its environment variable; the flag wins.\n")
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
	header := "\n| flag | variable | default | meaning |\n|---|---|---|---|\n"
	for _, group := range command.AllFlags(true) {
		for _, flag := range group {
			if flag.Name == "help" {
				continue
			}
			b.WriteString(header)
			header = ""
			fmt.Fprintf(b, "| `%s` | `%s` | %s | %s |\n", flagName(flag), variable(flag), code(flag.Default), cell(flag.Help))
		}
	}
}

func flagName(flag *kong.Flag) string {
	name := "--" + flag.Name
	if flag.Short != 0 {
		name = "-" + string(flag.Short) + ", " + name
	}
	return name
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
