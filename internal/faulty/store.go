package faulty

import (
	"context"

	"popeye"
)

// Recorder is the end of a store at which votes arrive.
type Recorder interface {
	// Record stores votes in one transaction.
	Record(ctx context.Context, votes []popeye.Vote) (popeye.Recorded, error)
	// Park keeps votes that can never be recorded.
	Park(ctx context.Context, parked []popeye.Parked) error
}

// Register is the end of a store at which rounds are kept.
type Register interface {
	// Definitions returns the current round of every poll.
	Definitions(ctx context.Context) ([]popeye.Definition, error)
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
func (s *Store) Record(ctx context.Context, votes []popeye.Vote) (popeye.Recorded, error) {
	var recorded popeye.Recorded
	err := s.faults.around(ctx, func() (err error) {
		recorded, err = s.recorder.Record(ctx, votes)
		return err
	})
	if err != nil {
		return popeye.Recorded{}, err
	}
	return recorded, nil
}

// Park parks, or fails; after a failure the votes may be parked.
func (s *Store) Park(ctx context.Context, parked []popeye.Parked) error {
	return s.faults.around(ctx, func() error { return s.recorder.Park(ctx, parked) })
}

// Definitions returns the definitions, or fails.
func (s *Store) Definitions(ctx context.Context) ([]popeye.Definition, error) {
	var definitions []popeye.Definition
	err := s.faults.around(ctx, func() (err error) {
		definitions, err = s.register.Definitions(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return definitions, nil
}

// Close closes, or fails; after a failure the round may be closed.
func (s *Store) Close(ctx context.Context, round int64) error {
	return s.faults.around(ctx, func() error { return s.register.Close(ctx, round) })
}

// Finalise makes final, or fails; after a failure the round may be final.
func (s *Store) Finalise(ctx context.Context, round int64) error {
	return s.faults.around(ctx, func() error { return s.register.Finalise(ctx, round) })
}
