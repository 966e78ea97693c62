package popeye

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a poll's definition. MaxOptions is the number of bits in Choices.
const (
	MinOptions    = 2
	MaxOptions    = 64
	MaxIDLength   = 64
	MaxQuestion   = 300
	MaxLabel      = 120
	MaxEmoji      = 32
	MaxPictureURL = 2048
	MaxDefinition = 60 << 10 // bytes of the whole poll as JSON
)

// Kind says how many options one vote may name.
type Kind string

// Single allows one option, Multiple from Poll.Min to Poll.Max of them.
const (
	Single   Kind = "single"
	Multiple Kind = "multiple"
)

// Policy says which of a voter's votes stands.
type Policy string

// First keeps a voter's first vote, Change the one with the highest stamp.
const (
	First  Policy = "first"
	Change Policy = "change"
)

// Visibility says from when on a poll's result may be shown.
type Visibility string

// The three visibilities. Organisers see a result at any time.
const (
	Always     Visibility = "always"
	AfterVote  Visibility = "after-vote"
	AfterClose Visibility = "after-close"
)

// Integrity names how firmly a poll holds to one vote per person.
type Integrity string

// Browser is one vote per signed cookie, the only level that can be chosen
// yet. Code (one-time codes) and Login (a trusted identity header) are
// reserved: definitions that ask for them are refused, never weakened.
const (
	Browser Integrity = "browser"
	Code    Integrity = "code"
	Login   Integrity = "login"
)

// State is where a round stands in its life.
type State string

// A draft is not open yet; a closed round takes no votes but may still have
// some in flight; a final one never moves again.
const (
	Draft  State = "draft"
	Open   State = "open"
	Closed State = "closed"
	Final  State = "final"
)

// Option is one thing that can be voted for.
type Option struct {
	// ID is what a vote names: 1 to MaxIDLength printable bytes of UTF-8 without
	// white space, compared byte for byte.
	ID string `json:"id"`
	// Label is what people read; at most MaxLabel characters. Empty means ID.
	Label string `json:"label"`
	// Emoji stands beside the label; at most MaxEmoji characters (code points), of
	// which one sign may take several. Optional.
	Emoji string `json:"emoji,omitempty"`
	// Picture is a path on this host ("/...") or a data:image/ URL: a page never
	// asks a third party for anything. Optional.
	Picture string `json:"picture,omitempty"`
	// Color is the option's colour as #rgb or #rrggbb. Optional.
	Color string `json:"color,omitempty"`
}

// Poll is a question as its organiser defined it. Its JSON form is also what
// polls.yaml holds and what the administration API takes.
type Poll struct {
	// ID is the slug in every address: lower-case letters, digits and inner
	// hyphens, 1 to MaxIDLength of them.
	ID string `json:"id"`
	// Question has 1 to MaxQuestion characters.
	Question string `json:"question"`
	// Options are MinOptions to MaxOptions, with distinct IDs. An option's
	// position is its bit in Choices.
	Options []Option `json:"options"`
	Kind    Kind     `json:"kind"`
	// Min and Max bound the number of options of a vote of kind Multiple. They
	// are 1 for Single.
	Min       int        `json:"min,omitempty"`
	Max       int        `json:"max,omitempty"`
	Policy    Policy     `json:"policy"`
	Results   Visibility `json:"results"`
	Integrity Integrity  `json:"integrity"`
	// Opens and Closes bound voting in time, closing exclusive. The zero time
	// means at once, and never.
	Opens  time.Time `json:"opens,omitzero"`
	Closes time.Time `json:"closes,omitzero"`
}

// InvalidError says which field of a definition breaks which rule.
type InvalidError struct {
	// Field is a path such as "options[2].id".
	Field string
	// Reason completes the sentence "field: ...".
	Reason string
}

// Error gives field and reason in one line.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Reason }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// WithDefaults returns p with every field that may be left out filled in: kind
// single, policy first, results always, integrity browser, labels from IDs,
// and for kind multiple from one to all options. It checks nothing.
func (p Poll) WithDefaults() Poll {
	p.Kind = orElse(p.Kind, Single)
	p.Policy = orElse(p.Policy, First)
	p.Results = orElse(p.Results, Always)
	p.Integrity = orElse(p.Integrity, Browser)
	p.Min = orElse(p.Min, 1)
	if p.Kind == Multiple {
		p.Max = orElse(p.Max, len(p.Options))
	}
	p.Max = orElse(p.Max, 1)
	p.Options = slices.Clone(p.Options)
	for i := range p.Options {
		p.Options[i].Label = orElse(p.Options[i].Label, p.Options[i].ID)
	}
	return p
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Validate reports the first rule that p breaks as an *InvalidError, or nil.
// It expects what WithDefaults returns.
func (p Poll) Validate() error {
	for _, check := range []func() error{p.validateText, p.validateOptions, p.validateKind, p.validateRules, p.validateTimes, p.validateSize} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (p Poll) validateText() error {
	if !isSlug(p.ID) {
		return invalid("id", "must be 1 to %d lower-case letters, digits and inner hyphens, is %.80q", MaxIDLength, p.ID)
	}
	if strings.TrimSpace(p.Question) == "" {
		return invalid("question", "is missing")
	}
	return checkText("question", p.Question, MaxQuestion)
}

func (p Poll) validateOptions() error {
	if n := len(p.Options); n < MinOptions || n > MaxOptions {
		return invalid("options", "must be %d to %d, are %d", MinOptions, MaxOptions, n)
	}
	seen := make(map[string]int, len(p.Options))
	for i, o := range p.Options {
		field := fmt.Sprintf("options[%d]", i)
		if err := o.validate(field); err != nil {
			return err
		}
		if first, ok := seen[o.ID]; ok {
			return invalid(field+".id", "%q is the id of options[%d] already", o.ID, first)
		}
		seen[o.ID] = i
	}
	return nil
}

func (o Option) validate(field string) error {
	if !isOptionID(o.ID) {
		return invalid(field+".id", "must be 1 to %d printable bytes without spaces, is %.80q", MaxIDLength, o.ID)
	}
	if strings.TrimSpace(o.Label) == "" {
		return invalid(field+".label", "is blank")
	}
	if err := checkText(field+".label", o.Label, MaxLabel); err != nil {
		return err
	}
	if err := checkText(field+".emoji", o.Emoji, MaxEmoji); err != nil {
		return err
	}
	if o.Color != "" && !isColor(o.Color) {
		return invalid(field+".color", "must be #rgb or #rrggbb, is %.80q", o.Color)
	}
	return checkPicture(field+".picture", o.Picture)
}

func (p Poll) validateKind() error {
	switch p.Kind {
	case Single:
		if p.Min != 1 || p.Max != 1 {
			return invalid("kind", "single takes no min and max; did you mean kind: multiple?")
		}
	case Multiple:
		if p.Min < 1 || p.Min > len(p.Options) {
			return invalid("min", "must be 1 to the number of options (%d), is %d", len(p.Options), p.Min)
		}
		if p.Max < p.Min || p.Max > len(p.Options) {
			return invalid("max", "must be min (%d) to the number of options (%d), is %d", p.Min, len(p.Options), p.Max)
		}
	default:
		return invalid("kind", "must be single or multiple, is %.80q", string(p.Kind))
	}
	return nil
}

func (p Poll) validateRules() error {
	if p.Policy != First && p.Policy != Change {
		return invalid("policy", "must be first or change, is %.80q", string(p.Policy))
	}
	if p.Results != Always && p.Results != AfterVote && p.Results != AfterClose {
		return invalid("results", "must be always, after-vote or after-close, is %.80q", string(p.Results))
	}
	if p.Integrity == Code || p.Integrity == Login {
		return invalid("integrity", "%s is not there yet; only browser is", p.Integrity)
	}
	if p.Integrity != Browser {
		return invalid("integrity", "must be browser, is %.80q", string(p.Integrity))
	}
	return nil
}

func (p Poll) validateTimes() error {
	if !isYear(p.Opens) {
		return invalid("opens", "is not in the years 1 to 9999")
	}
	if !isYear(p.Closes) {
		return invalid("closes", "is not in the years 1 to 9999")
	}
	if !p.Opens.IsZero() && !p.Closes.IsZero() && !p.Closes.After(p.Opens) {
		return invalid("closes", "must be after opens")
	}
	return nil
}

// isYear reports whether RFC 3339 can write t as UTC.
func isYear(t time.Time) bool { return t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }

// validateSize keeps a poll small enough to be sent, published and shown.
func (p Poll) validateSize() error {
	text, err := json.Marshal(p)
	if err != nil {
		return invalid("poll", "cannot be written down: %s", err)
	}
	if len(text) > MaxDefinition {
		return invalid("options", "make the poll %d bytes large, at most %d are allowed; use pictures by their path", len(text), MaxDefinition)
	}
	return nil
}

// SameBallot reports whether votes cast on p mean the same on q: the same
// options in the same order, kind, bounds, policy and integrity. Labels,
// question, pictures, times and visibility may differ.
func (p Poll) SameBallot(q Poll) bool {
	return p.Kind == q.Kind && p.Min == q.Min && p.Max == q.Max &&
		p.Policy == q.Policy && p.Integrity == q.Integrity &&
		slices.EqualFunc(p.Options, q.Options, func(a, b Option) bool { return a.ID == b.ID })
}

func isSlug(s string) bool {
	if len(s) < 1 || len(s) > MaxIDLength || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) < 0
}

func isOptionID(s string) bool {
	return len(s) >= 1 && len(s) <= MaxIDLength && utf8.ValidString(s) &&
		strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) < 0
}

func isColor(s string) bool {
	return (len(s) == 4 || len(s) == 7) && s[0] == '#' && strings.Trim(s[1:], "0123456789abcdefABCDEF") == ""
}

func checkText(field, s string, most int) error {
	if !utf8.ValidString(s) {
		return invalid(field, "is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(s); n > most {
		return invalid(field, "has %d characters, at most %d are allowed", n, most)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		return invalid(field, "has a control character at byte %d", i)
	}
	return nil
}

func checkPicture(field, s string) error {
	local := strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.Contains(s, `\`)
	if s != "" && !local && !strings.HasPrefix(s, "data:image/") {
		return invalid(field, "must be a path on this host or a data:image/ URL, so that no third party learns who votes")
	}
	if len(s) > MaxPictureURL {
		return invalid(field, "has %d bytes, at most %d are allowed", len(s), MaxPictureURL)
	}
	return checkText(field, s, MaxPictureURL)
}
