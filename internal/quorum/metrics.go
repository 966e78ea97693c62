package quorum

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"popeye"
)

// What became of a cast on one server where it gave no answer: labels beside the
// outcomes that a voter gets.
const (
	outcomeClosed  popeye.Outcome = "closed"
	outcomeFull    popeye.Outcome = "full"
	outcomeUnknown popeye.Outcome = "unknown"
	outcomeFailed  popeye.Outcome = "failed"
)

// metrics are counted per place, and per nothing else: no label could say who
// voted, or for what.
type metrics struct {
	puts    *prometheus.CounterVec
	skipped *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	up      *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	return &metrics{
		puts: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "popeye_queue_puts_total",
			Help: "Votes and copies of votes put on a queue server, by what became of them there.",
		}, []string{"place", "outcome"}),
		skipped: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "popeye_queue_skipped_total",
			Help: "Votes for which a queue server was passed over, because it had failed shortly before.",
		}, []string{"place"}),
		seconds: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "popeye_queue_put_seconds",
			Help:    "Time that one vote took on a queue server, with its wait for a call of it, failed or not.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 12),
		}, []string{"place"}),
		up: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "popeye_queue_answers",
			Help: "Whether a queue server answered when it was asked last: 1 or 0.",
		}, []string{"place"}),
	}
}

// placeMetrics are those of one place, looked up once.
type placeMetrics struct {
	puts    map[popeye.Outcome]prometheus.Counter
	skipped prometheus.Counter
	seconds prometheus.Observer
	up      prometheus.Gauge
}

func (m *metrics) of(place string) placeMetrics {
	p := placeMetrics{
		puts:    make(map[popeye.Outcome]prometheus.Counter),
		skipped: m.skipped.WithLabelValues(place),
		seconds: m.seconds.WithLabelValues(place),
		up:      m.up.WithLabelValues(place),
	}
	for _, o := range []popeye.Outcome{
		popeye.Accepted, popeye.Changed, popeye.Repeated, popeye.Already, popeye.Conflict,
		outcomeClosed, outcomeFull, outcomeUnknown, outcomeFailed,
	} {
		p.puts[o] = m.puts.WithLabelValues(place, string(o)) // shown as 0 before the first
	}
	return p
}

// put notes what became of one call of Put.
func (m *placeMetrics) put(a popeye.Answer, err error, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	if c := m.puts[outcomeOf(a, err)]; c != nil {
		c.Inc()
	}
}

func (m *placeMetrics) answers(yes bool) {
	m.up.Set(0)
	if yes {
		m.up.Set(1)
	}
}

func outcomeOf(a popeye.Answer, err error) popeye.Outcome {
	switch {
	case err == nil:
		return a.Outcome
	case errors.Is(err, popeye.ErrClosed):
		return outcomeClosed
	case errors.Is(err, popeye.ErrFull):
		return outcomeFull
	case errors.Is(err, popeye.ErrNotFound):
		return outcomeUnknown
	default:
		return outcomeFailed
	}
}
