package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names of the secrets in a data folder.
const (
	AdminTokenName = "admin-token"
	VoterKeysName  = "voter.keys"
	CookieKeysName = "cookie.keys"
)

// ReadToken returns the token in a file, with or without a newline at its end.
func ReadToken(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := bytes.TrimSpace(text)
	if len(token) == 0 {
		return "", fmt.Errorf("the token in %s is empty", file)
	}
	return string(token), nil
}

// MakeSecret writes text to a file that only its owner can read, unless the file
// is there already. It returns what the file holds, and whether it is new.
func MakeSecret(file, text string) (content []byte, isNew bool, err error) {
	content, err = os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return content, false, err
	}
	// Written aside and then given its name, so that a crash leaves no half of a
	// key behind, and of two processes one is first.
	aside, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = os.Remove(aside.Name()) }() // its other name stays
	_, err = aside.WriteString(text)
	err = errors.Join(err, aside.Sync(), aside.Close())
	if err == nil {
		err = os.Link(aside.Name(), file)
	}
	if errors.Is(err, fs.ErrExist) { // another process was quicker
		content, err = os.ReadFile(file)
		return content, false, err
	}
	return []byte(text), true, err
}
