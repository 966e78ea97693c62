package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"popeye"
)

// metrics are counted per worker and per place, and per nothing else: no label
// could say who voted, or for what.
type metrics struct {
	recorded  prometheus.Counter
	parked    prometheus.Counter
	rejected  prometheus.Counter
	batches   *prometheus.CounterVec
	batchSize prometheus.Histogram
	duration  prometheus.Histogram
	seals     *prometheus.CounterVec
	replays   *prometheus.CounterVec
	replayed  *prometheus.CounterVec
	errors    *prometheus.CounterVec

	up, pending, oldest *prometheus.GaugeVec
}

// What a worker was doing when something failed, as the label of an error.
const (
	opReceive  = "receive"
	opRecord   = "record"
	opPark     = "park"
	opSeal     = "seal"
	opRing     = "ring"
	opAck      = "ack"
	opRelease  = "release"
	opSync     = "sync"
	opPublish  = "publish"
	opVoterKey = "voter_key"
	opStatus   = "status"
	opNote     = "note"
	opTend     = "tend"
	opLost     = "lost"
	opReplay   = "replay"
	opCertify  = "certify"
)

func newMetrics(r prometheus.Registerer, servers []QueueServer) *metrics {
	auto := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: "popeye_worker_" + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: "popeye_worker_" + name, Help: help}, labels)
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return auto.NewGaugeVec(prometheus.GaugeOpts{Name: "popeye_worker_" + name, Help: help}, []string{"place"})
	}
	m := &metrics{
		recorded: counter("votes_recorded_total", "Votes handed to the store and recorded, repeated deliveries included."),
		parked:   counter("votes_parked_total", "Votes that can never be recorded and were put aside, repeated deliveries included."),
		rejected: counter("votes_rejected_total", "Votes that came after their round was final or were put aside, each counted once."),
		batches:  counters("batches_total", "Batches recorded; those of several places may share a transaction.", "place"),
		batchSize: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "popeye_worker_batch_votes",
			Help:    "Votes in a recorded batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 6),
		}),
		duration: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "popeye_worker_record_seconds",
			Help:    "Time that the store took for a transaction, failed or not.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		seals:    counters("seals_total", "Rounds of which a queue has nothing more, as far as the store was told.", "place"),
		replays:  counters("replays_total", "How often the store was found to have lost what it had recorded.", "place"),
		replayed: counters("votes_replayed_total", "Votes recorded once more because the store had lost some.", "place"),
		errors:   counters("errors_total", "Failures, by what was being done and where.", "op", "place"),
		up:       gauges("queue_up", "Whether the queue server answered last (1) or not (0)."),
		pending:  gauges("queue_pending", "Votes in the queue server that are not recorded, as last seen."),
		oldest:   gauges("queue_oldest_seconds", "Age of the oldest of them when last seen, 0 if there is none."),
	}
	for _, s := range servers {
		m.expect(s.Place)
	}
	m.expect("")
	return m
}

// expect shows what has not failed yet as 0.
func (m *metrics) expect(place string) {
	for _, op := range []string{
		opReceive, opRecord, opPark, opSeal, opRing, opAck, opRelease, opSync, opPublish,
		opVoterKey, opStatus, opNote, opTend, opLost, opReplay, opCertify,
	} {
		m.errors.WithLabelValues(op, place)
	}
}

// record counts a recorded batch of so many votes.
func (m *metrics) record(place string, votes int, r popeye.Recorded) {
	m.rejected.Add(float64(r.Rejected)) // perhaps of other batches, recorded together with this one
	if votes == 0 {
		return
	}
	m.recorded.Add(float64(votes))
	m.batches.WithLabelValues(place).Inc()
	m.batchSize.Observe(float64(votes))
}

// park counts votes put aside.
func (m *metrics) park(votes int, r popeye.Recorded) {
	m.parked.Add(float64(votes))
	m.rejected.Add(float64(r.Rejected))
}

// look shows how a server was found.
func (m *metrics) look(place string, s *popeye.QueueStatus, err error) {
	if err != nil {
		m.up.WithLabelValues(place).Set(0)
		return
	}
	m.up.WithLabelValues(place).Set(1)
	m.pending.WithLabelValues(place).Set(float64(s.Pending))
	age := 0.0
	if !s.Oldest.IsZero() {
		age = max(0, time.Since(s.Oldest).Seconds())
	}
	m.oldest.WithLabelValues(place).Set(age)
}
