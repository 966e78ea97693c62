package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// maxCalls bounds the connections of a link; more are closed at once.
	maxCalls = 4096
	// linkBuffer is how much of each direction a link holds back, in bytes.
	linkBuffer = 32 << 10
	// listenLimit bounds the wait for a link's port to be free again.
	listenLimit = 5 * time.Second
)

// Link is a TCP connection point of 127.0.0.1 through which a target is reached
// until the link is broken. Its methods may be used by several goroutines.
type Link struct {
	target string
	port   *Port
	ctx    context.Context //nolint:containedctx // ends what the link has under way, when it is closed
	cancel context.CancelFunc
	works  sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while cut
	calls    map[*call]struct{}
	// there and back are open while bytes pass to the target, and from it.
	there, back *gate
}

// NewLink returns a link to a target, given as host and port, that need not
// listen yet. It has to be closed.
func NewLink(ctx context.Context, target string) (*Link, error) {
	port, err := NewPort(ctx)
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", target, err)
	}
	l := &Link{
		target: target, port: port,
		calls: map[*call]struct{}{}, there: newGate(), back: newGate(),
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := l.Mend(); err != nil { //nolint:contextcheck // its calls last longer than this one
		return nil, errors.Join(err, port.Close())
	}
	return l, nil
}

// Addr returns host and port of the near end.
func (l *Link) Addr() string { return l.port.Addr() }

// Cut resets every connection and refuses new ones. What was held back is lost.
func (l *Link) Cut() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.calls {
		c.reset()
	}
	if l.listener == nil {
		return nil
	}
	err := l.listener.Close()
	l.listener = nil
	return err
}

// Freeze lets nothing pass any more, in either direction. Connections stay open,
// and new ones are taken: nobody is told that something is wrong.
func (l *Link) Freeze() error {
	l.there.shut()
	l.back.shut()
	return nil
}

// Mute lets requests pass but no replies: the target does what it is asked to,
// and nobody hears of it.
func (l *Link) Mute() error {
	l.back.shut()
	l.there.open()
	return nil
}

// Mend lets everything pass again. What was held back by Freeze or Mute arrives
// late.
func (l *Link) Mend() error {
	l.there.open()
	l.back.open()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil || l.ctx.Err() != nil {
		return nil
	}
	listener, err := l.listen()
	if err != nil {
		return fmt.Errorf("link to %s: %w", l.target, err)
	}
	l.listener = listener
	l.works.Go(func() { l.accept(listener) })
	return nil
}

// listen listens again where it did before. A process that is just being started
// holds for a moment what was open here, even if it is closed by now.
func (l *Link) listen() (listener net.Listener, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, listenLimit)
	defer cancel()
	err = until(ctx, func(ctx context.Context) (err error) {
		var listening net.ListenConfig
		listener, err = listening.Listen(ctx, "tcp", l.Addr())
		return err
	})
	return listener, err
}

// Close cuts the link for good.
func (l *Link) Close() error {
	l.cancel()
	err := l.Cut()
	l.works.Wait()
	return errors.Join(err, l.port.Close())
}

func (l *Link) accept(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			l.take(near)
		}
	}
}

// take begins a call, unless the link was cut meanwhile or has too many.
func (l *Link) take(near net.Conn) {
	c := &call{near: near}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil || len(l.calls) >= maxCalls {
		c.reset()
		return
	}
	l.calls[c] = struct{}{}
	l.works.Go(func() {
		c.run(l)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.calls, c)
	})
}
