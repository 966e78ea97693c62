package local

import (
	"context"
	"errors"
	"fmt"

	"popeye/internal/lab"
)

// Part is one process of a Popeye, with what can be done to it.
type Part struct {
	// Name is what it is called: redis-2, postgres, worker-1.
	Name string
	// Role is its role, empty for a server.
	Role Role
	// URL is where it serves, empty for what has no pages.
	URL string
	*lab.Process

	// addr is where the others reach it.
	addr string
	// link is what they reach it through, nil where there is none.
	link  *lab.Link
	wipe  func() error
	close func() error
	ready func(context.Context) error
}

// Link returns what the others reach it through, nil where nothing is.
func (p *Part) Link() *lab.Link { return p.link }

// Wipe kills a queue server and removes its data, as if its disk were gone.
func (p *Part) Wipe() error {
	if p.wipe == nil {
		return fmt.Errorf("%s is no queue server, and has no disk that can be lost", p.Name)
	}
	return p.wipe()
}

// awaitReady waits until the part says that it is ready, or has ended.
func (p *Part) awaitReady(ctx context.Context) error {
	err := p.Await(ctx, p.ready)
	if err != nil {
		return fmt.Errorf("%s is not ready: %w", p.Name, err)
	}
	return nil
}

// end stops the part and gives up what it has.
func (p *Part) end() error {
	err := errors.Join(p.Resume(), p.Stop())
	if p.link != nil {
		err = errors.Join(err, p.link.Close())
	}
	if err = errors.Join(err, p.close()); err != nil {
		return fmt.Errorf("end %s: %w", p.Name, err)
	}
	return nil
}
