package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"popeye"
	"popeye/internal/web"
)

// Parking is where the votes are that could not be recorded.
type Parking interface {
	// Parked returns them by round and reason.
	Parked(ctx context.Context) ([]popeye.ParkedVotes, error)
	// Retry records those of a round that can be recorded by now; the others stay.
	Retry(ctx context.Context, round int64) (popeye.Recorded, error)
	// Drop forgets those of a round and returns how many they were. They still
	// count as rejected.
	Drop(ctx context.Context, round int64) (int64, error)
}

// parked is GET /admin/api/v1/parked.
func (a *Admin) parked(w http.ResponseWriter, r *http.Request) error {
	all, err := a.cfg.Parking.Parked(r.Context())
	if err != nil {
		return err
	}
	groups := []web.Parked{}
	for i := range all {
		groups = append(groups, web.NewParked(&all[i]))
	}
	web.JSON(w, http.StatusOK, map[string]any{"parked": groups})
	return nil
}

// retry is POST /admin/api/v1/parked/{round}/retry.
func (a *Admin) retry(w http.ResponseWriter, r *http.Request) error {
	round, err := roundOf(r)
	if err != nil {
		return err
	}
	recorded, err := a.cfg.Parking.Retry(r.Context(), round)
	if err != nil {
		return nothingParked(err)
	}
	var told error
	for _, poll := range recorded.Moved {
		told = errors.Join(told, a.tell(r.Context(), poll))
	}
	stay, err := a.parkedOf(r.Context(), round)
	if err := errors.Join(told, err); err != nil {
		return err
	}
	web.JSON(w, http.StatusOK, web.Retried{Recorded: recorded.Stored, Rejected: stay})
	return nil
}

// parkedOf returns how many votes of a round are parked.
func (a *Admin) parkedOf(ctx context.Context, round int64) (int64, error) {
	all, err := a.cfg.Parking.Parked(ctx)
	votes := int64(0)
	for i := range all {
		if all[i].Round == round {
			votes += all[i].Votes
		}
	}
	return votes, err
}

// drop is DELETE /admin/api/v1/parked/{round}.
func (a *Admin) drop(w http.ResponseWriter, r *http.Request) error {
	round, err := roundOf(r)
	if err != nil {
		return err
	}
	dropped, err := a.cfg.Parking.Drop(r.Context(), round)
	if err != nil {
		return nothingParked(err)
	}
	web.JSON(w, http.StatusOK, web.Dropped{Dropped: dropped})
	return nil
}

// roundOf returns the round that the request's path names. A vote may have been
// parked because there is no such round, so any number will do.
func roundOf(r *http.Request) (int64, error) {
	round, err := strconv.ParseInt(r.PathValue("round"), 10, 64)
	if err != nil {
		return 0, web.NewProblem(http.StatusBadRequest, "A round is named by its number; GET /admin/api/v1/parked lists those that have parked votes.")
	}
	return round, nil
}

func nothingParked(err error) error {
	if errors.Is(err, popeye.ErrNotFound) {
		return web.NewProblem(http.StatusNotFound, "No vote of this round is parked.")
	}
	return err
}
