package config

// Secret is a text that is never printed: not in an error, not in a log, not
// when the settings that it is part of are printed.
type Secret string

const redacted = "(not shown)"

// Reveal returns the text itself, for whoever needs it to connect or to sign.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String for JSON and for slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
