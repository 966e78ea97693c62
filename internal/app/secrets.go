package app

import (
	"fmt"
	"os"
	"path/filepath"

	"popeye/internal/config"
	"popeye/internal/voter"
)

// secrets are the keys and the token of an embedded Popeye.
type secrets struct {
	cookies, voters *voter.Ring
	admin           string
	// newAdmin: the token was generated now, and nobody has seen it yet.
	newAdmin bool
}

// openSecrets reads the secrets from the files named, or from the data folder,
// where they are made when missing.
func openSecrets(cfg config.All) (secrets, error) {
	var s secrets
	err := os.MkdirAll(cfg.Data, 0o700)
	if err != nil {
		return s, fmt.Errorf("make the data folder: %w", err)
	}
	if s.cookies, err = openRing(cfg.CookieKeyFile, filepath.Join(cfg.Data, config.CookieKeysName)); err != nil {
		return s, fmt.Errorf("cookie keys: %w", err)
	}
	if s.voters, err = openRing(cfg.VoterKeyFile, filepath.Join(cfg.Data, config.VoterKeysName)); err != nil {
		return s, fmt.Errorf("voter keys: %w", err)
	}
	file := cfg.AdminTokenFile
	if file == "" {
		file = filepath.Join(cfg.Data, config.AdminTokenName)
		_, s.newAdmin, err = config.MakeSecret(file, voter.GenerateKey()+"\n")
	}
	if err == nil {
		s.admin, err = config.ReadToken(file)
	}
	if err != nil {
		return s, fmt.Errorf("administration token: %w", err)
	}
	return s, nil
}

// openRing reads the keys of the file given or, where none is, those of the
// other one, which is made when missing.
func openRing(given, otherwise string) (*voter.Ring, error) {
	if given == "" {
		text, _, err := config.MakeSecret(otherwise, voter.GenerateKey()+"\n")
		return ringOf(otherwise, text, err)
	}
	text, err := os.ReadFile(given)
	return ringOf(given, text, err)
}

func ringOf(file string, text []byte, err error) (*voter.Ring, error) {
	if err != nil {
		return nil, err
	}
	ring, err := voter.NewRing(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return ring, nil
}
