package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"popeye/internal/config"
)

// maxReasons bounds what is read of an answer, in bytes.
const maxReasons = 4096

// checkHealth is "popeye health": it fails unless the role on this machine says
// that it is ready, or lives.
func checkHealth(ctx context.Context, p Process, cfg config.Health) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	path := "/readyz"
	if cfg.Live {
		path = "/livez"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://popeye"+path, nil)
	if err != nil {
		return err
	}
	response, err := ask(cfg.OpsAddr).Do(request)
	if err != nil {
		return fmt.Errorf("nobody answers: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // all that counts is read
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReasons))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	_, err = p.Stdout.Write(text)
	return err
}

// ask returns a client all of whose requests go to addr, which may be what a
// role listens on: ":9090" is reached on this machine. No proxy of the
// environment stands between a role and itself.
func ask(addr string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
}
