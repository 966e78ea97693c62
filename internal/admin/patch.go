package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"popeye"
	"popeye/internal/web"
)

// patch is PATCH /admin/api/v1/polls/{poll}: a JSON merge patch (RFC 7396) of the
// definition, and with "state" the order to open or to close.
func (a *Admin) patch(w http.ResponseWriter, r *http.Request) error {
	var changes map[string]json.RawMessage
	if err := web.ReadJSON(w, r, &changes, true); err != nil {
		return err
	}
	order, err := orderOf(changes)
	if err != nil {
		return err
	}
	d, err := a.find(r)
	if err != nil {
		return err
	}
	delete(changes, "state")
	if len(changes) > 0 {
		if d, err = a.merge(r.Context(), d, changes); err != nil {
			return err
		}
	}
	if d, err = a.obey(r.Context(), d, order); err != nil {
		return err
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
	if err := json.Unmarshal(text, &order); err != nil || order != popeye.Open && order != popeye.Closed {
		return order, &popeye.InvalidError{Field: "state", Reason: "must be open or closed"}
	}
	return order, nil
}

func (a *Admin) obey(ctx context.Context, d *popeye.Definition, order popeye.State) (*popeye.Definition, error) {
	switch order {
	case popeye.Open:
		opened, err := a.Rounds.Open(ctx, d.ID)
		return &opened, err
	case popeye.Closed:
		if err := a.Rounds.Close(ctx, d.Round); err != nil {
			return nil, err
		}
		tally, err := a.Register.Tally(ctx, d.ID)
		return &tally.Definition, err
	default:
		return d, nil
	}
}

// merge applies the changes to the definition of d.
func (a *Admin) merge(ctx context.Context, d *popeye.Definition, changes map[string]json.RawMessage) (*popeye.Definition, error) {
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
	for name, value := range changes {
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
	return merged, web.DecodeJSON(text, &merged, true)
}
