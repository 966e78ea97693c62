package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/worker"
)

const linger = 20 * time.Millisecond

// pipeline is a worker at work between queue servers and a store, in a bubble
// where time passes only when everybody waits.
type pipeline struct {
	*testing.T
	book     *book
	stations []*station
	worker   *worker.Worker
	metrics  *prometheus.Registry
	stop     context.CancelFunc
	stopped  chan error
}

// distributed starts a worker for so many stations, before which it does what
// prepare says.
func distributed(t *testing.T, servers, copies int, prepare func(p *pipeline), test func(p *pipeline)) {
	t.Helper()
	onOneProcessor(t)
	synctest.Test(t, func(t *testing.T) {
		k := newBook(poll("p", 1))
		p := &pipeline{T: t, book: k, metrics: prometheus.NewRegistry(), stopped: make(chan error, 1)}
		var queues []worker.QueueServer
		for i := range servers {
			s := newStation(t, fmt.Sprintf("queue-%d:6379", i), k)
			p.stations = append(p.stations, s)
			queues = append(queues, s.server(2))
		}
		p.worker = worker.New(worker.Config{
			Queues: queues, Copies: copies,
			Recorder: k, Register: k, Logbook: k, Bell: k,
			Linger: linger, SyncEvery: time.Second, Batch: 100,
			Log: slog.New(slog.DiscardHandler), Metrics: p.metrics,
		})
		if prepare != nil {
			prepare(p)
		}
		ctx, cancel := context.WithCancel(t.Context())
		p.stop = cancel
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.stopped <- p.worker.Run(ctx)
		}()
		defer func() {
			cancel()
			<-ended
		}()
		synctest.Wait()
		test(p)
	})
}

// onOneProcessor has a test in virtual time, and whatever runs beside it, use no more
// than one processor: the race detector of Go 1.26 crashes now and then when timers
// of a bubble fire on two at the same moment (https://go.dev/issue/78156).
func onOneProcessor(t *testing.T) {
	t.Helper()
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// pass lets time go by, and everybody finish what they do then.
func (p *pipeline) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (p *pipeline) wantRecorded(voters ...int) {
	p.Helper()
	p.book.set(func(k *book) {
		if len(k.votes) != len(voters) {
			p.Errorf("%d votes are recorded, want %d", len(k.votes), len(voters))
		}
		for _, n := range voters {
			if _, ok := k.votes[voter(n)]; !ok {
				p.Errorf("the vote of voter %d is not recorded", n)
			}
		}
	})
}

// wantIdle wants every vote to be acknowledged at some stations.
func (p *pipeline) wantIdle(stations ...*station) {
	p.Helper()
	for _, s := range stations {
		s.set(func(s *station) {
			if len(s.held) > 0 || len(s.waiting) > 0 {
				p.Errorf("%s holds %d deliveries and keeps %d, want none", s.place, len(s.held), len(s.waiting))
			}
		})
	}
}

// wantMetric wants the value of a metric in which place is a label's value.
func (p *pipeline) wantMetric(name, place string, want float64) {
	p.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		p.Fatalf("gather: %v", err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() != name || l.GetValue() != place {
					continue
				}
				if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != want {
					p.Errorf("%s of %s is %v, want %v", name, place, got, want)
				}
				return
			}
		}
	}
	p.Errorf("there is no metric %s of %s", name, place)
}

// wantCount wants the value of a counter without labels.
func wantCount(t *testing.T, metrics *prometheus.Registry, name string, want float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	for _, f := range families {
		if f.GetName() == name {
			if got := f.GetMetric()[0].GetCounter().GetValue(); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
			return
		}
	}
	t.Errorf("there is no metric %s", name)
}

// votes are first votes in round 1 of voters from, from+1 ... until before to.
func votes(from, to int) []popeye.Vote {
	var all []popeye.Vote
	for n := from; n < to; n++ {
		all = append(all, popeye.Vote{Round: 1, Voter: voter(n), Choices: 1, Stamp: 100, Serial: 1})
	}
	return all
}

func numbers(from, to int) []int {
	var all []int
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}
