// Package admin is the role that manages polls: an API for organisers, behind a
// bearer token.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"popeye"
	"popeye/internal/web"
)

// Register is where polls are kept.
type Register interface {
	// Catalog returns all polls in their current rounds.
	Catalog(ctx context.Context) (*popeye.Catalog, error)
	// Apply creates a poll in state s, or updates it. It fails with
	// popeye.ErrExists when votes would lose their meaning.
	Apply(ctx context.Context, p popeye.Poll, s popeye.State) (d popeye.Definition, created bool, err error)
	// Delete deletes a poll with all its votes, or fails with popeye.ErrNotFound.
	Delete(ctx context.Context, poll string) error
	// Tally returns a poll's result, or popeye.ErrNotFound.
	Tally(ctx context.Context, poll string) (popeye.Tally, error)
}

// Rounds is where rounds begin and end.
type Rounds interface {
	// Open opens a draft, or begins a new round of a closed poll.
	Open(ctx context.Context, poll string) (popeye.Definition, error)
	// Close closes a round.
	Close(ctx context.Context, round int64) error
	// Declare makes the closed round of a poll final and incomplete. It changes
	// nothing that is final, and fails with popeye.ErrExists where the round is not
	// closed.
	Declare(ctx context.Context, poll string) (popeye.Definition, error)
}

// Config is what the role needs.
type Config struct {
	Register Register
	Rounds   Rounds
	Parking  Parking
	// Token is what a request must bear.
	Token string
	// Changed is called after each change of a poll, before the answer. Where all
	// roles are one process it returns when all of them know.
	Changed func(ctx context.Context, poll string) error
	Log     *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Admin is the role. It is an http.Handler.
type Admin struct {
	cfg Config
	mux *web.Mux

	token [sha256.Size]byte
	// patching makes reading, merging and writing a definition one step.
	patching sync.Mutex

	// answered: the register has answered at least once. asking is held while it is
	// asked whether it does.
	answered atomic.Bool
	asking   sync.Mutex
}

// askTimeout bounds one question to a register that may be away.
const askTimeout = 2 * time.Second

// New returns the role, ready to serve.
func New(cfg Config) *Admin {
	a := &Admin{cfg: cfg, mux: web.NewMux(cfg.Log, web.RenderJSON), token: sha256.Sum256([]byte(cfg.Token))}
	a.handle("GET /admin/api/v1/polls", a.list)
	a.handle("POST /admin/api/v1/polls", a.apply)
	a.handle("GET /admin/api/v1/polls/{poll}", a.show)
	a.handle("PATCH /admin/api/v1/polls/{poll}", a.patch)
	a.handle("DELETE /admin/api/v1/polls/{poll}", a.remove)
	a.handle("GET /admin/api/v1/polls/{poll}/results", a.results)
	a.handle("GET /admin/api/v1/parked", a.parked)
	a.handle("POST /admin/api/v1/parked/{round}/retry", a.retry)
	a.handle("DELETE /admin/api/v1/parked/{round}", a.drop)
	return a
}

// ServeHTTP answers a request to the role's addresses.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// Ready returns nil once the register has answered. Until then it asks it, for
// two seconds at most, one caller at a time.
func (a *Admin) Ready() error {
	if a.answered.Load() {
		return nil
	}
	if !a.asking.TryLock() {
		return errors.New("waiting for the database")
	}
	defer a.asking.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	if _, err := a.cfg.Register.Catalog(ctx); err != nil {
		return fmt.Errorf("waiting for the database: %w", err)
	}
	a.answered.Store(true)
	return nil
}

// handle routes pattern to h for those who bear the token.
func (a *Admin) handle(pattern string, h web.Handler) {
	a.mux.Handle(pattern, func(w http.ResponseWriter, r *http.Request) error {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		sum := sha256.Sum256([]byte(given))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], a.token[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="popeye"`)
			return web.NewProblem(http.StatusUnauthorized, "Send the administration token: Authorization: Bearer ...")
		}
		return h(w, r)
	})
}

func (a *Admin) list(w http.ResponseWriter, r *http.Request) error {
	catalog, err := a.cfg.Register.Catalog(r.Context())
	if err != nil {
		return err
	}
	polls := []web.Definition{}
	for _, d := range catalog.All() {
		polls = append(polls, web.NewDefinition(d, a.cfg.Now()))
	}
	web.JSON(w, http.StatusOK, map[string]any{"polls": polls})
	return nil
}

// find returns the definition that the request's path names.
func (a *Admin) find(r *http.Request) (*popeye.Definition, error) {
	catalog, err := a.cfg.Register.Catalog(r.Context())
	if err != nil {
		return nil, err
	}
	if d := catalog.Find(r.PathValue("poll")); d != nil {
		return d, nil
	}
	return nil, popeye.ErrNotFound
}

func (a *Admin) show(w http.ResponseWriter, r *http.Request) error {
	d, err := a.find(r)
	if err != nil {
		return err
	}
	web.JSON(w, http.StatusOK, web.NewDefinition(d, a.cfg.Now()))
	return nil
}

// definition is a poll as an organiser sends it. What the answers of this API
// add to it may come back, and is ignored.
type definition struct {
	popeye.Poll
	State   popeye.State    `json:"state"`
	Round   json.RawMessage `json:"round"`
	Version json.RawMessage `json:"version"`
	// Incomplete comes with a result that was declared final.
	Incomplete json.RawMessage `json:"incomplete"`
}

// apply is POST /admin/api/v1/polls: create, or make it so.
func (a *Admin) apply(w http.ResponseWriter, r *http.Request) error {
	var body definition
	if err := web.ReadJSON(w, r, &body, true); err != nil {
		return err
	}
	state, err := firstState(body.State)
	if err != nil {
		return err
	}
	d, created, err := a.put(r.Context(), body.Poll, state)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", "/admin/api/v1/polls/"+d.ID)
	}
	return a.changed(w, r, d, status)
}

// firstState returns the state in which a new poll begins.
func firstState(given popeye.State) (popeye.State, error) {
	switch given {
	case popeye.Draft:
		return popeye.Draft, nil
	case "", popeye.Open:
		return popeye.Open, nil
	default:
		return "", &popeye.InvalidError{Field: "state", Reason: "must be draft or open"}
	}
}

func (a *Admin) put(ctx context.Context, p popeye.Poll, s popeye.State) (popeye.Definition, bool, error) {
	p = p.WithDefaults()
	if err := p.Validate(); err != nil {
		return popeye.Definition{}, false, err
	}
	return a.cfg.Register.Apply(ctx, p, s)
}

// changed tells the other roles of d, and then the organiser.
func (a *Admin) changed(w http.ResponseWriter, r *http.Request, d popeye.Definition, status int) error {
	if err := a.tell(r.Context(), d.ID); err != nil {
		return err
	}
	web.JSON(w, status, web.NewDefinition(&d, a.cfg.Now()))
	return nil
}

func (a *Admin) tell(ctx context.Context, poll string) error {
	if err := a.cfg.Changed(ctx, poll); err != nil {
		return fmt.Errorf("%w: the change of %s is stored, but not every part knows it yet: %w", popeye.ErrUnavailable, poll, err)
	}
	return nil
}

func (a *Admin) remove(w http.ResponseWriter, r *http.Request) error {
	poll := r.PathValue("poll")
	if err := a.cfg.Register.Delete(r.Context(), poll); err != nil {
		return err
	}
	if err := a.tell(r.Context(), poll); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// results is the export for organisers, who may see it at any time.
func (a *Admin) results(w http.ResponseWriter, r *http.Request) error {
	format, err := web.ExportFormat(r, "json")
	if err != nil {
		return err
	}
	tally, err := a.cfg.Register.Tally(r.Context(), r.PathValue("poll"))
	if err != nil {
		return err
	}
	return web.Export(w, &tally, format)
}
