package memory_test

import (
	"context"
	"maps"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"popeye"
	"popeye/internal/memory"
	"popeye/internal/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQueueThatRemembers(t *testing.T) {
	open := func(capacity int) queuetest.Open {
		return func(t *testing.T) queuetest.Queue {
			t.Helper()
			return openQueue(t, memory.QueueConfig{Capacity: capacity})
		}
	}
	queuetest.Run(t, open(0), queuetest.Full(open(10), 40))
}

func TestQueueThatAsksTheStore(t *testing.T) {
	open := func(capacity int) queuetest.Open {
		return func(t *testing.T) queuetest.Queue {
			t.Helper()
			return openRecording(t, capacity)
		}
	}
	queuetest.Run(t, open(0), queuetest.Full(open(10), 40))
}

func openQueue(t *testing.T, c memory.QueueConfig) *memory.Queue {
	t.Helper()
	q := memory.NewQueue(c)
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return q
}

// recording is a queue whose worker writes into a store before it
// acknowledges, as a real one does.
type recording struct {
	*memory.Queue

	mu    sync.Mutex
	store map[int64]map[popeye.Voter]popeye.Mark
}

func openRecording(t *testing.T, capacity int) *recording {
	t.Helper()
	r := &recording{store: make(map[int64]map[popeye.Voter]popeye.Mark)}
	r.Queue = openQueue(t, memory.QueueConfig{Capacity: capacity, Marks: r.marks})
	return r
}

func (r *recording) Ack(ctx context.Context, ds []popeye.Delivery) error {
	r.mu.Lock()
	for _, d := range ds {
		if d.Seal != 0 {
			continue
		}
		if r.store[d.Vote.Round] == nil {
			r.store[d.Vote.Round] = make(map[popeye.Voter]popeye.Mark)
		}
		if d.Vote.Stamp > r.store[d.Vote.Round][d.Vote.Voter].Stamp {
			r.store[d.Vote.Round][d.Vote.Voter] = popeye.Mark{Choices: d.Vote.Choices, Stamp: d.Vote.Stamp, Serial: d.Vote.Serial}
		}
	}
	r.mu.Unlock()
	return r.Queue.Ack(ctx, ds)
}

func (r *recording) marks(_ context.Context, round int64, voters []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := maps.Clone(r.store[round])
	asked := make(map[popeye.Voter]bool)
	for _, v := range voters {
		asked[v] = true
	}
	maps.DeleteFunc(found, func(v popeye.Voter, _ popeye.Mark) bool { return !asked[v] })
	return found, nil
}
