// Package kube keeps Popeye's passwords and keys as Secrets of a Kubernetes
// cluster. It makes them once and never changes them. It speaks to the API server
// by plain HTTP: two calls do not need a client library.
package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	callTimeout = 10 * time.Second
	maxAnswer   = 4 << 20
)

// ErrUnavailable says that the API server cannot do it now, and may later.
var ErrUnavailable = errors.New("the API server cannot do it now")

// API is the API server, as seen by one service account in its own namespace.
type API struct {
	secrets string
	token   string
	http    *http.Client
}

// Open returns the API server at an address, to which the files in the folder
// account let in: token, ca.crt and namespace, as Kubernetes mounts them.
func Open(address, account string) (*API, error) {
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(account, name)) }
	token, tokenErr := read("token")
	authority, authorityErr := read("ca.crt")
	namespace, namespaceErr := read("namespace")
	if err := errors.Join(tokenErr, authorityErr, namespaceErr); err != nil {
		return nil, fmt.Errorf("read the service account: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s has no certificates", filepath.Join(account, "ca.crt"))
	}
	return &API{
		secrets: strings.TrimSuffix(address, "/") + "/api/v1/namespaces/" +
			url.PathEscape(strings.TrimSpace(string(namespace))) + "/secrets",
		token: strings.TrimSpace(string(token)),
		http: &http.Client{Timeout: callTimeout, Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		}},
	}, nil
}

// secret is a Secret as the API server has it.
type secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Type       string            `json:"type,omitempty"`
	Metadata   metadata          `json:"metadata"`
	Data       map[string][]byte `json:"data"`
}

type metadata struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

// get returns what a Secret holds, nil when there is none.
func (a *API) get(ctx context.Context, name string) (map[string][]byte, error) {
	var found secret
	status, err := a.call(ctx, http.MethodGet, a.secrets+"/"+url.PathEscape(name), nil, &found)
	if status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the Secret %s: %w", name, err)
	}
	if found.Data == nil {
		found.Data = map[string][]byte{}
	}
	return found.Data, nil
}

// create makes a Secret, and reports false when somebody else was quicker.
func (a *API) create(ctx context.Context, name string, labels map[string]string, data map[string][]byte) (bool, error) {
	made := secret{"v1", "Secret", "Opaque", metadata{name, labels}, data}
	status, err := a.call(ctx, http.MethodPost, a.secrets, made, nil)
	if status == http.StatusConflict {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("make the Secret %s: %w", name, err)
	}
	return true, nil
}

// call sends a request and returns the answer's status, with an error unless it is
// a good one.
func (a *API) call(ctx context.Context, method, address string, send, into any) (int, error) {
	var body io.Reader = http.NoBody
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	request.Header.Set("Accept", "application/json")
	if send != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := a.http.Do(request)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { _ = response.Body.Close() }() // all that counts is read
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case response.StatusCode >= http.StatusInternalServerError || response.StatusCode == http.StatusTooManyRequests || err != nil:
		return response.StatusCode, fmt.Errorf("%w: %s", ErrUnavailable, response.Status)
	case response.StatusCode >= http.StatusBadRequest:
		return response.StatusCode, fmt.Errorf("%s: %s", response.Status, reason(text))
	case into == nil:
		return response.StatusCode, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return response.StatusCode, fmt.Errorf("understand the answer: %w", err)
	}
	return response.StatusCode, nil
}

// reason returns the message of an API server's refusal.
func reason(answer []byte) string {
	var status struct{ Message string }
	if err := json.Unmarshal(answer, &status); err != nil || status.Message == "" {
		return "it does not say why"
	}
	return status.Message
}
