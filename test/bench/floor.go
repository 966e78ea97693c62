package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// serveFloor serves the floor of that name until ctx is done.
func serveFloor(ctx context.Context, name, address string) error {
	floors := map[string]func() http.Handler{"cookie": cookieFloor, "viewers": viewersFloor}
	floor, ok := floors[name]
	if !ok {
		return fmt.Errorf("there is no floor %q", name)
	}
	server := &http.Server{Addr: address, Handler: floor(), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func welcome(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ready\n"))
	})
}

// cookieFloor is the least that can take a vote by a form: it reads the form,
// gives the voter a signed cookie and redirects. It keeps nothing.
func cookieFloor() http.Handler {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	mux := http.NewServeMux()
	welcome(mux)
	mux.HandleFunc("POST /p/{poll}", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("vote") == "" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		voter := make([]byte, 16)
		rand.Read(voter)
		mac := hmac.New(sha256.New, key)
		mac.Write(voter)
		http.SetCookie(w, &http.Cookie{
			Name: "voter", Value: base64.RawURLEncoding.EncodeToString(mac.Sum(voter)),
			Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
		http.Redirect(w, r, "/p/"+r.PathValue("poll"), http.StatusSeeOther)
	})
	return mux
}

// frameInterval is the least time between two frames of a poll, as in Popeye.
const frameInterval = 200 * time.Millisecond

// broadcaster is the least that can show votes live: it counts them in memory
// and sends the sum to everybody who looks. It speaks enough of Popeye's
// contract for the load tool.
type broadcaster struct {
	mu      sync.Mutex
	votes   [2]int64
	version int64
	viewers map[chan []byte]struct{}
	changed chan struct{}
}

func viewersFloor() http.Handler {
	b := &broadcaster{version: 1, viewers: map[chan []byte]struct{}{}, changed: make(chan struct{}, 1)}
	go b.broadcast() // to the end of the process
	mux := http.NewServeMux()
	welcome(mux)
	mux.HandleFunc("GET /api/v1/polls/{poll}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q,"state":"open","min":1,"options":[{"id":"a"},{"id":"b"}]}`, r.PathValue("poll"))
	})
	mux.HandleFunc("GET /api/v1/results/{poll}", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		_, _ = w.Write(b.result())
	})
	mux.HandleFunc("GET /api/v1/results/{poll}/stream", b.stream)
	mux.HandleFunc("POST /api/v1/votes/{poll}", b.cast)
	return mux
}

func (b *broadcaster) cast(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Choices []string `json:"choices"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Choices) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	if body.Choices[0] == "a" {
		b.votes[0]++
	} else {
		b.votes[1]++
	}
	b.version++
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusCreated)
}

// result is for those who hold the lock.
func (b *broadcaster) result() []byte {
	total := b.votes[0] + b.votes[1]
	return fmt.Appendf(nil, `{"poll":"floor","version":%d,"state":"live","total":%d,`+
		`"options":[{"id":"a","label":"Cats","votes":%d},{"id":"b","label":"Dogs","votes":%d}],`+
		`"ledger":{"accepted":%d,"queued":0,"stored":%d,"rejected":0}}`,
		b.version, total, b.votes[0], b.votes[1], total, total)
}

func (b *broadcaster) frame() []byte {
	return fmt.Appendf(nil, "event: results\nid: %d\ndata: %s\n\n", b.version, b.result())
}

// broadcast sends each change, and then pauses.
func (b *broadcaster) broadcast() {
	for range b.changed {
		b.mu.Lock()
		frame := b.frame()
		for viewer := range b.viewers {
			select {
			case <-viewer:
			default:
			}
			viewer <- frame
		}
		b.mu.Unlock()
		<-time.After(frameInterval)
	}
}

func (b *broadcaster) stream(w http.ResponseWriter, r *http.Request) {
	viewer := make(chan []byte, 1)
	b.mu.Lock()
	viewer <- b.frame()
	b.viewers[viewer] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.viewers, viewer)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	for {
		select {
		case frame := <-viewer:
			if _, err := w.Write(frame); err != nil || flusher.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
