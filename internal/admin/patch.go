package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"popeye"
	"popeye/internal/web"
)

// patch is PATCH /admin/api/v1/polls/{poll}: a JSON merge patch (RFC 7396) of the
// definition, and with "state" the order to open, to close, or to declare final.
func (a *Admin) patch(w http.ResponseWriter, r *http.Request) error {
	var changes map[string]json.RawMessage
	if err := web.ReadJSON(w, r, &changes, true); err != nil {
		return err
	}
	order, err := orderOf(changes)
	if err != nil {
		return err
	}
	for _, answered := range []string{"state", "round", "version", "incomplete"} {
		delete(changes, answered) // not of the definition; they may come back as they were sent
	}
	a.patching.Lock()
	defer a.patching.Unlock()
	d, err := a.find(r)
	if err != nil {
		return err
	}
	if d, err = a.merge(r.Context(), d, changes); err != nil {
		return err
	}
	d, err = a.obey(r.Context(), d, order)
	if err != nil {
		// The definition may have changed all the same.
		return errors.Join(err, a.tell(r.Context(), r.PathValue("poll")))
	}
	return a.changed(w, r, *d, http.StatusOK)
}

// orderOf returns the state that the changes ask for, if any.
func orderOf(changes map[string]json.RawMessage) (popeye.State, error) {
	var order popeye.State
	text, ok := changes["state"]
	if !ok {
		return order, nil
	}
	err := json.Unmarshal(text, &order)
	if err != nil || !slices.Contains([]popeye.State{popeye.Open, popeye.Closed, popeye.Final}, order) {
		return order, &popeye.InvalidError{Field: "state", Reason: "must be open, closed or final"}
	}
	return order, nil
}

func (a *Admin) obey(ctx context.Context, d *popeye.Definition, order popeye.State) (*popeye.Definition, error) {
	switch order {
	case popeye.Open:
		opened, err := a.cfg.Rounds.Open(ctx, d.ID)
		return &opened, err
	case popeye.Closed:
		if err := a.cfg.Rounds.Close(ctx, d.Round); err != nil {
			return nil, err
		}
		tally, err := a.cfg.Register.Tally(ctx, d.ID)
		return &tally.Definition, err
	case popeye.Final:
		return a.declare(ctx, d.ID)
	default:
		return d, nil
	}
}

// declare makes a closed poll final though votes may be missing: the organiser's
// last resort where queue servers are lost. Whatever else closes becomes final by
// itself.
func (a *Admin) declare(ctx context.Context, poll string) (*popeye.Definition, error) {
	d, err := a.cfg.Rounds.Declare(ctx, poll)
	if errors.Is(err, popeye.ErrExists) {
		return nil, web.NewProblem(http.StatusConflict, "Only a closed poll can be declared final. Close it first: it becomes final by itself "+
			"once everything acknowledged is counted, unless servers are lost that votes were on.")
	}
	return &d, err
}

// merge applies the changes to the definition of d.
func (a *Admin) merge(ctx context.Context, d *popeye.Definition, changes map[string]json.RawMessage) (*popeye.Definition, error) {
	if len(changes) == 0 {
		return d, nil
	}
	merged, err := mergePatch(d.Poll, changes)
	if err != nil {
		return nil, err
	}
	if merged.ID != d.ID {
		return nil, &popeye.InvalidError{Field: "id", Reason: "cannot be changed"}
	}
	changed, _, err := a.put(ctx, merged, d.State)
	return &changed, err
}

// memberNames are the names that a definition's members have. encoding/json
// would take others for them, in other cases.
func memberNames() []string {
	return []string{"id", "question", "options", "kind", "min", "max", "policy", "results", "integrity", "opens", "closes"}
}

// mergePatch returns p with the members of changes in place of its own; null
// takes a member away.
func mergePatch(p popeye.Poll, changes map[string]json.RawMessage) (popeye.Poll, error) {
	members := map[string]json.RawMessage{}
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	if err != nil {
		return p, fmt.Errorf("encode the definition of %s: %w", p.ID, err)
	}
	if changes["kind"] != nil { // the bounds go with it
		delete(members, "min")
		delete(members, "max")
	}
	for name, value := range changes {
		if !slices.Contains(memberNames(), name) {
			return p, web.NewProblem(http.StatusBadRequest, "A poll has no member of that name. It has "+strings.Join(memberNames(), ", ")+".")
		}
		if bytes.Equal(value, []byte("null")) {
			delete(members, name)
			continue
		}
		members[name] = value
	}
	if text, err = json.Marshal(members); err != nil {
		return p, fmt.Errorf("encode the definition of %s: %w", p.ID, err)
	}
	var merged popeye.Poll
	err = web.DecodeJSON(text, &merged, true)
	return merged, err
}
