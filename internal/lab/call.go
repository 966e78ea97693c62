package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// call is one connection through a link.
type call struct {
	near net.Conn

	mu   sync.Mutex
	far  net.Conn           // nil until the target is reached
	over bool               // it was reset
	hang context.CancelFunc // ends what waits at a gate
}

// run passes bytes in both directions until both have ended.
func (c *call) run(l *Link) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	defer c.reset()
	if !c.begin(cancel) || l.there.wait(ctx) != nil {
		return
	}
	var dialer net.Dialer
	far, err := dialer.DialContext(ctx, "tcp", l.target)
	if err != nil || !c.reached(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.pass(ctx, far, c.near, l.there, l.back) })
	both.Go(func() { c.pass(ctx, c.near, far, l.back, l.there) })
	both.Wait()
	// Both ends said goodbye: there is nothing to reset.
	_ = c.near.Close()
	_ = far.Close()
}

// begin reports whether the call was not reset before it began.
func (c *call) begin(hang context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hang = hang
	return !c.over
}

// reached notes the connection to the target, unless the call was reset.
func (c *call) reached(far net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		_ = far.Close() // nobody has used it
		return false
	}
	c.far = far
	return true
}

// pass passes bytes through the gate ahead until there are no more, or one end is
// gone. What one end says of its going has to pass a gate too.
func (c *call) pass(ctx context.Context, to, from net.Conn, ahead, behind *gate) {
	buffer := make([]byte, linkBuffer)
	for {
		n, err := from.Read(buffer)
		if ahead.wait(ctx) != nil {
			return
		}
		if _, gone := to.Write(buffer[:n]); gone != nil {
			_ = behind.wait(ctx) // it fails when the call is over already
			c.reset()
			return
		}
		if err != nil {
			c.end(to, err)
			return
		}
	}
}

// reset ends the call without a goodbye.
func (c *call) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.hang != nil {
		c.hang()
	}
	for _, conn := range []net.Conn{c.near, c.far} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // what is closed already needs no reset
			_ = tcp.Close()
		}
	}
}

// end passes the end of a direction on, after which the other one can go on.
func (c *call) end(to net.Conn, cause error) {
	tcp, ok := to.(*net.TCPConn)
	if !ok || !errors.Is(cause, io.EOF) || tcp.CloseWrite() != nil {
		c.reset()
	}
}

// gate is open or shut.
type gate struct {
	mu sync.Mutex
	// passing is closed while the gate is open.
	passing chan struct{}
	isOpen  bool
}

// newGate returns a gate that is shut.
func newGate() *gate { return &gate{passing: make(chan struct{})} }

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isOpen {
		g.isOpen = true
		close(g.passing)
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isOpen {
		g.isOpen = false
		g.passing = make(chan struct{})
	}
}

// wait waits until the gate is open, or ctx is done.
func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	passing := g.passing
	g.mu.Unlock()
	select {
	case <-passing:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
