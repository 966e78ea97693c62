package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"popeye"
)

// never is a time later than any that Lua can reckon with, in microseconds.
const never = 1 << 53

// definition is a popeye.Definition as poll reads it.
type definition struct {
	Poll       popeye.Poll  `json:"poll"`
	Round      int64        `json:"round"`
	State      popeye.State `json:"state"`
	VoterKey   string       `json:"voter_key,omitempty"`
	Version    int64        `json:"version"`
	Incomplete bool         `json:"incomplete,omitempty"`
}

// Publish replaces the definitions by which casts are taken, unless the server
// has these or newer ones. Rounds that are closed, or not published any more,
// take no votes from then on, whatever is published later, and get a seal.
func (s *Server) Publish(ctx context.Context, c *popeye.Catalog) error {
	version, err := s.version(ctx)
	if err != nil {
		return err
	}
	if version >= c.Version() {
		return nil
	}
	text, err := encode(c)
	if err != nil {
		return fmt.Errorf("publish polls: %w", err)
	}
	args := make([]string, 0, 3+5*len(c.All()))
	args = append(args, strconv.FormatInt(c.Version(), 10), text, newIdentity())
	for _, d := range c.All() {
		opens := micros(d.Opens, 0)
		if d.State == popeye.Draft {
			opens = strconv.FormatInt(never, 10)
		}
		args = append(args, strconv.FormatInt(d.Round, 10), string(d.State), string(d.Policy), opens, micros(d.Closes, never))
	}
	if err := s.run(ctx, s.scripts.publish, oneSlot(), args).Error(); err != nil {
		return s.failed("publish polls", err)
	}
	return nil
}

// Catalog returns the catalog that the server has, nil unless its version is
// above known.
func (s *Server) Catalog(ctx context.Context, known int64) (*popeye.Catalog, error) {
	version, err := s.version(ctx)
	if err != nil || version <= known {
		return nil, err
	}
	found, err := s.client.Do(ctx, s.client.B().Hmget().Key(keyCatalog).Field("version", "json").Build()).AsStrSlice()
	if err != nil {
		return nil, s.failed("read the polls", err)
	}
	c, err := decode(found)
	if err != nil {
		return nil, fmt.Errorf("%w: read the polls on queue server %s: %w", popeye.ErrUnavailable, s.cfg.Place, err)
	}
	return c, nil
}

// version returns the catalog's version on the server, and where it has none, one
// that is below any.
func (s *Server) version(ctx context.Context) (int64, error) {
	version, err := s.client.Do(ctx, s.client.B().Hget().Key(keyCatalog).Field("version").Build()).AsInt64()
	if isNil(err) {
		return -1, nil
	}
	if err != nil {
		return 0, s.failed("read the version of the polls", err)
	}
	return version, nil
}

// Announce names the voter key that new rounds should use.
func (s *Server) Announce(ctx context.Context, voterKey string) error {
	known, err := s.VoterKey(ctx)
	if err != nil || known == voterKey {
		return err
	}
	if err := s.client.Do(ctx, s.client.B().Set().Key(keyVoterKey).Value(voterKey).Build()).Error(); err != nil {
		return s.failed("announce the voter key", err)
	}
	return nil
}

// VoterKey returns the name that was announced last, empty when none was.
func (s *Server) VoterKey(ctx context.Context) (string, error) {
	name, err := s.client.Do(ctx, s.client.B().Get().Key(keyVoterKey).Build()).ToString()
	if isNil(err) {
		return "", nil
	}
	if err != nil {
		return "", s.failed("ask for the voter key", err)
	}
	return name, nil
}

func encode(c *popeye.Catalog) (string, error) {
	all := make([]definition, 0, len(c.All()))
	for _, d := range c.All() {
		all = append(all, definition{
			Poll: d.Poll, Round: d.Round, State: d.State, VoterKey: d.VoterKey, Version: d.Version, Incomplete: d.Incomplete,
		})
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// decode reads a version and the definitions.
func decode(found []string) (*popeye.Catalog, error) {
	if len(found) != 2 {
		return nil, errMalformed
	}
	version, err := strconv.ParseInt(found[0], 10, 64)
	if err != nil {
		return nil, errMalformed
	}
	var all []definition
	if err := json.Unmarshal([]byte(found[1]), &all); err != nil {
		return nil, err
	}
	definitions := make([]popeye.Definition, len(all))
	for i, d := range all {
		definitions[i] = popeye.Definition{
			Poll: d.Poll, Round: d.Round, State: d.State, VoterKey: d.VoterKey, Version: d.Version, Incomplete: d.Incomplete,
		}
	}
	return popeye.NewCatalog(version, definitions), nil
}

// micros writes a time as the scripts read it; the zero time is written as none.
func micros(t time.Time, none int64) string {
	if t.IsZero() {
		return strconv.FormatInt(none, 10)
	}
	return strconv.FormatInt(min(max(t.UnixMicro(), 0), never), 10)
}
