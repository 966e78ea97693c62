package worker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are counted per worker and per nothing else: no label could say who
// voted, or for what.
type metrics struct {
	recorded  prometheus.Counter
	parked    prometheus.Counter
	batches   prometheus.Counter
	batchSize prometheus.Histogram
	duration  prometheus.Histogram
	errors    *prometheus.CounterVec
}

// What a worker was doing when something failed, as the label of an error.
const (
	opReceive  = "receive"
	opRecord   = "record"
	opPark     = "park"
	opFinalise = "finalise"
	opRing     = "ring"
	opAck      = "ack"
	opRelease  = "release"
	opSync     = "sync"
)

func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	m := &metrics{
		recorded: auto.NewCounter(prometheus.CounterOpts{
			Name: "popeye_worker_votes_recorded_total",
			Help: "Votes handed to the store and recorded, repeated deliveries included.",
		}),
		parked: auto.NewCounter(prometheus.CounterOpts{
			Name: "popeye_worker_votes_parked_total",
			Help: "Votes that can never be recorded and were put aside.",
		}),
		batches: auto.NewCounter(prometheus.CounterOpts{
			Name: "popeye_worker_batches_total",
			Help: "Batches recorded, one transaction each.",
		}),
		batchSize: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "popeye_worker_batch_votes",
			Help:    "Votes in a recorded batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 6),
		}),
		duration: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "popeye_worker_record_seconds",
			Help:    "Time that the store took for a batch, failed or not.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		errors: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "popeye_worker_errors_total",
			Help: "Failures, by what was being done.",
		}, []string{"op"}),
	}
	for _, op := range []string{opReceive, opRecord, opPark, opFinalise, opRing, opAck, opRelease, opSync} {
		m.errors.WithLabelValues(op) // shown as 0 before the first
	}
	return m
}
