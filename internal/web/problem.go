package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"popeye"
)

// Problem is why a request failed, in the form of RFC 9457. It is also an
// error, so that a handler returns it like any other.
type Problem struct { //nolint:errname // the word of RFC 9457
	Status int
	Title  string
	// Detail tells the client what to do about it. It must hold nothing internal.
	Detail string
	// More are extension members.
	More map[string]any
	// RetryAfter, when not zero, tells the client when to come again.
	RetryAfter time.Duration
}

// NewProblem returns a problem with the status's usual title.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Detail: detail}
}

// Error gives title and detail in one line.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// MarshalJSON writes the members of RFC 9457 and the extension members.
func (p *Problem) MarshalJSON() ([]byte, error) {
	members := map[string]any{"type": "about:blank", "status": p.Status, "title": p.Title}
	if p.Detail != "" {
		members["detail"] = p.Detail
	}
	maps.Copy(members, p.More)
	return json.Marshal(members)
}

// retrySoon is how long a client should wait for a part that is away.
const retrySoon = time.Second

// ProblemOf says what err is to a client. Whatever it does not know is an
// internal error, of which the client learns nothing more.
func ProblemOf(err error) *Problem {
	var (
		problem *Problem
		large   *http.MaxBytesError
		invalid *popeye.InvalidError
	)
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &large):
		return NewProblem(http.StatusRequestEntityTooLarge, "The body has more than "+strconv.FormatInt(large.Limit, 10)+" bytes.")
	case errors.As(err, &invalid):
		p := NewProblem(http.StatusUnprocessableEntity, invalid.Error())
		p.More = map[string]any{"errors": []map[string]string{{"field": invalid.Field, "reason": invalid.Reason}}}
		return p
	case errors.Is(err, popeye.ErrUnknownOption):
		return NewProblem(http.StatusUnprocessableEntity, "The poll has no such option.")
	case errors.Is(err, popeye.ErrWrongNumber):
		return NewProblem(http.StatusUnprocessableEntity, sentence(err))
	case errors.Is(err, popeye.ErrNotFound):
		return NewProblem(http.StatusNotFound, "There is no such poll.")
	case errors.Is(err, popeye.ErrExists):
		return NewProblem(http.StatusConflict, sentence(err))
	case errors.Is(err, popeye.ErrClosed):
		return NewProblem(http.StatusGone, "The poll takes no votes now.")
	default:
		return problemOfTrouble(err)
	}
}

// sentence returns the text of an error of the domain for people to read.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// problemOfTrouble is for errors that are nobody's input.
func problemOfTrouble(err error) *Problem {
	switch {
	case errors.Is(err, popeye.ErrFull):
		p := NewProblem(http.StatusServiceUnavailable, "Too many votes are waiting. Please try again in a moment.")
		p.RetryAfter = retrySoon
		return p
	case errors.Is(err, popeye.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p := NewProblem(http.StatusServiceUnavailable, "A part of the service is away. Please try again in a moment.")
		p.RetryAfter = retrySoon
		return p
	default:
		return NewProblem(http.StatusInternalServerError, "Something went wrong on our side.")
	}
}

// Handler answers a request, or says why it could not. It must return an error
// before it has written anything.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Renderer shows a problem to the client.
type Renderer func(w http.ResponseWriter, r *http.Request, p *Problem)

// Handle makes h an http.Handler: the one place where errors become statuses
// and what is internal goes to the log instead of the client.
func Handle(log *slog.Logger, render Renderer, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		p := ProblemOf(err)
		if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
			log.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern, "status", p.Status, "error", err)
		}
		Render(w, r, render, p)
	})
}

// Render shows p by means of render, with the headers that any form of it has.
func Render(w http.ResponseWriter, r *http.Request, render Renderer, p *Problem) {
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
	}
	w.Header().Set("Cache-Control", "no-store")
	render(w, r, p)
}

// RenderJSON is the Renderer of an API: application/problem+json.
func RenderJSON(w http.ResponseWriter, _ *http.Request, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	writeJSON(w, p)
}

// JSON answers with v as JSON. A client that is gone is not an error.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	writeJSON(w, v)
}

func writeJSON(w http.ResponseWriter, v any) {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	// What is encoded here are our own structs of plain fields: the only error
	// there can be is a client that has left.
	_ = encoder.Encode(v)
}
