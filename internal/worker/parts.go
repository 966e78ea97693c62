package worker

import (
	"context"

	"popeye"
)

// QueueServer is one queue server, or the embedded queue.
type QueueServer struct {
	// Place is where it is, as configured: host and port. Empty for the embedded
	// queue. It stands in logs and metrics.
	Place     string
	Publisher Publisher
	// Consumers take turns: while what one has received is recorded, another
	// receives. One is enough where casters wait for their vote to be recorded.
	Consumers []Consumer
	// Watched tells how the server is. Nil for the embedded queue.
	Watched Server
}

// Publisher is where the definitions go by which a queue takes casts.
type Publisher interface {
	// Publish replaces the definitions, unless the queue has newer ones.
	Publish(ctx context.Context, c *popeye.Catalog) error
}

// Consumer is where votes come from. One goroutine at a time uses it.
type Consumer interface {
	// Receive blocks until it can return 1 to most deliveries, or ctx is done.
	// They all have the same progress, which is one more than that of the last
	// time; it is zero where progress is not kept.
	Receive(ctx context.Context, most int) ([]popeye.Delivery, error)
	// Ack says that deliveries are recorded and never to be delivered again.
	Ack(ctx context.Context, deliveries []popeye.Delivery) error
	// Release says that deliveries were not recorded, and why. A seal that is
	// neither acknowledged nor released is delivered again in a while where there
	// is a server, to whoever receives then.
	Release(ctx context.Context, deliveries []popeye.Delivery, cause error) error
}

// Server is a queue server as whoever looks after it sees it.
type Server interface {
	// Status tells how the server is.
	Status(ctx context.Context) (popeye.QueueStatus, error)
	// Tend frees what nobody needs any more.
	Tend(ctx context.Context) error
	// VoterKey returns the name of the key that new rounds are to use, empty where
	// none was announced.
	VoterKey(ctx context.Context) (string, error)
	// Replay passes on, in portions, every acknowledged vote that the server still
	// has from a position on. It ends with the first error of do.
	Replay(ctx context.Context, from string, do func(context.Context, []popeye.Vote) error) error
}

// Recorder is where votes go.
type Recorder interface {
	// Record stores votes in one transaction, and in the same one how far the
	// worker has come with the queue servers that they are from; there may be no
	// votes. Repeating it changes nothing. It fails with popeye.ErrUnrecordable, and has then written
	// nothing, when a vote is at fault, and with popeye.ErrNotFound as well when
	// that is because a round is not there at all. Any other error says that the
	// store is at fault.
	//
	// A store that lacks a batch before one of done must go on lacking it: noting
	// only the highest would hide that the store has lost what it had committed.
	// What is zero of done is passed over.
	Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error)
	// Park keeps votes that can never be recorded; repeating it changes nothing.
	Park(ctx context.Context, parked []popeye.Parked) (popeye.Recorded, error)
	// Certify computes what is published of final rounds and was not yet. It may
	// take long and must not hold up Record.
	Certify(ctx context.Context) error
}

// Register is where the store keeps polls and the states of their rounds.
type Register interface {
	// Catalog returns the current round of every poll.
	Catalog(ctx context.Context) (*popeye.Catalog, error)
	// Close ends voting in a round; it does nothing when that was done.
	Close(ctx context.Context, round int64) error
	// Finalise ends recording in a closed round; it does nothing when that was
	// done, and fails with popeye.ErrExists when the round is still open.
	Finalise(ctx context.Context, round int64) error
	// NameVoterKey names the key of every round that has none.
	NameVoterKey(ctx context.Context, name string) error
}

// Logbook is where the store keeps what it knows of the queue servers.
type Logbook interface {
	// Note keeps how a server is, so that those who cannot ask it can tell. While
	// the store lacks anything that the server has seen recorded, the position
	// from which to replay must stay where it is.
	Note(ctx context.Context, s popeye.QueueStatus) error
	// Lost returns the position from which a server has to be replayed because
	// the store lacks what the server has seen recorded, or has older definitions
	// than it; empty when it does not.
	Lost(ctx context.Context, s popeye.QueueStatus) (from string, err error)
	// Restored says that everything is there again which was recorded when the
	// server had that status. The definitions get a version above the server's.
	Restored(ctx context.Context, s popeye.QueueStatus) error
	// Seal says that everything a server took of a round is recorded. It returns
	// whether the round is final, and fails with popeye.ErrExists when the round
	// is still open.
	Seal(ctx context.Context, s popeye.Seal) (final bool, err error)
}

// Bell tells those who show results what has changed.
type Bell interface {
	// Ring says that something shown of these polls changed.
	Ring(ctx context.Context, polls ...string) error
}
