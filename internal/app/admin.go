package app

import (
	"context"
	"time"

	"popeye/internal/admin"
	"popeye/internal/config"
	"popeye/internal/postgres"
)

// serveAdmin is "popeye admin".
func serveAdmin(ctx context.Context, p Process, cfg config.Admin) error {
	s := newService(p, cfg.Logging)
	defer s.close()
	token, err := config.ReadToken(cfg.AdminTokenFile)
	if err != nil {
		return wrong(err)
	}
	store, err := openStore(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer store.Shutdown()
	if err := s.listen(ctx, cfg.Serving); err != nil {
		return err
	}
	bell := postgres.NewBell(store, s.log)
	defer bell.Shutdown()
	a := admin.New(admin.Config{
		Register: store, Rounds: store, Parking: store, Token: token,
		Changed: s.ringer(bell), Log: s.log, Now: time.Now,
	})
	s.handler = a
	database := newGate("database", store.Ready)
	s.checks = database.checks("admin", a.Ready)
	s.behind = append(s.behind, database.Run, s.watch)
	return s.run(ctx, p)
}

// ringer returns what tells the other roles of a changed poll. Those who show
// results hear it at once; those who take votes are told by a worker, which looks
// for changes all the time. A change is stored by then, and what is not heard is
// looked for, so that a ring that fails is no failure of the change.
func (s *service) ringer(bell *postgres.Bell) func(ctx context.Context, poll string) error {
	return func(ctx context.Context, poll string) error {
		if err := bell.Ring(ctx, poll); err != nil {
			s.log.WarnContext(ctx, "results hear later of a change", "poll_id", poll, "error", err)
		}
		return nil
	}
}
