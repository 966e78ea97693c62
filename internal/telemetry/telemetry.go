// Package telemetry builds the logger and the metrics registry. It registers
// nothing global: whoever needs one takes it as an argument.
package telemetry

import (
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewLogger returns a logger that writes lines of the given format, "json" or
// "text", at the given level and above. An unknown level means info. A message
// that comes more than ten times a second is counted instead of written.
func NewLogger(w io.Writer, format, level string) *slog.Logger {
	options := &slog.HandlerOptions{}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err == nil {
		options.Level = l
	}
	if format == "json" {
		return slog.New(newCalm(slog.NewJSONHandler(w, options)))
	}
	return slog.New(newCalm(slog.NewTextHandler(w, options)))
}

// NewRegistry returns a metrics registry that knows the process and the Go
// runtime, and the handler that shows it.
func NewRegistry() (*prometheus.Registry, http.Handler) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
