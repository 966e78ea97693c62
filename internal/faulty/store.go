package faulty

import (
	"context"

	"popeye"
)

// Recorder is the end of a store at which votes arrive.
type Recorder interface {
	// Record stores votes in one transaction, and notes how far that came.
	Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error)
	// Park keeps votes that can never be recorded.
	Park(ctx context.Context, parked []popeye.Parked) (popeye.Recorded, error)
	// Certify hashes the receipts of final rounds.
	Certify(ctx context.Context) error
}

// Register is the end of a store at which rounds are kept.
type Register interface {
	// Catalog returns the current round of every poll.
	Catalog(ctx context.Context) (*popeye.Catalog, error)
	// NameVoterKey names the key of every round that has none.
	NameVoterKey(ctx context.Context, name string) error
	// Close ends voting in a round.
	Close(ctx context.Context, round int64) error
	// Finalise ends recording in a closed round.
	Finalise(ctx context.Context, round int64) error
}

// Store is a store that fails. Make one with NewStore.
type Store struct {
	recorder Recorder
	register Register
	faults   *faults
}

// NewStore returns a store that fails like f and otherwise does what recorder
// and register do, which may be one and the same.
func NewStore(seed uint64, f Faults, recorder Recorder, register Register) *Store {
	return &Store{recorder: recorder, register: register, faults: newFaults(seed, f)}
}

// Record records, or fails; after a failure the votes may be recorded.
func (s *Store) Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error) {
	return around(ctx, s.faults, func() (popeye.Recorded, error) { return s.recorder.Record(ctx, votes, done...) })
}

// Park parks, or fails; after a failure the votes may be parked.
func (s *Store) Park(ctx context.Context, parked []popeye.Parked) (popeye.Recorded, error) {
	return around(ctx, s.faults, func() (popeye.Recorded, error) { return s.recorder.Park(ctx, parked) })
}

// Certify certifies, or fails; after a failure rounds may be certified.
func (s *Store) Certify(ctx context.Context) error {
	return s.faults.around(ctx, func() error { return s.recorder.Certify(ctx) })
}

// Catalog returns the catalog, or fails.
func (s *Store) Catalog(ctx context.Context) (*popeye.Catalog, error) {
	return around(ctx, s.faults, func() (*popeye.Catalog, error) { return s.register.Catalog(ctx) })
}

// NameVoterKey names, or fails; after a failure the rounds may be named.
func (s *Store) NameVoterKey(ctx context.Context, name string) error {
	return s.faults.around(ctx, func() error { return s.register.NameVoterKey(ctx, name) })
}

// Close closes, or fails; after a failure the round may be closed.
func (s *Store) Close(ctx context.Context, round int64) error {
	return s.faults.around(ctx, func() error { return s.register.Close(ctx, round) })
}

// Finalise makes final, or fails; after a failure the round may be final.
func (s *Store) Finalise(ctx context.Context, round int64) error {
	return s.faults.around(ctx, func() error { return s.register.Finalise(ctx, round) })
}

// around is faults.around for a call that returns something.
func around[T any](ctx context.Context, f *faults, call func() (T, error)) (T, error) {
	var result, none T
	err := f.around(ctx, func() (err error) {
		result, err = call()
		return err
	})
	if err != nil {
		return none, err
	}
	return result, nil
}
