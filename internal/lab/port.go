package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports that a server gets lie below those that Linux gives to outgoing
// connections: else a client that tries to reach a server which is down could
// be given the server's port, and take it away or talk to itself.
const (
	lowestPort  = 15_000
	highestPort = 32_000
	portTries   = 200
)

// Port is a TCP port of 127.0.0.1 that is free for a server to listen on, again
// and again, until it is closed. It is kept from others that ask for a Port, in
// this process and in any other, by holding the UDP port of the same number.
type Port struct {
	number int
	hold   net.PacketConn
}

// NewPort reserves a free port.
func NewPort(ctx context.Context) (*Port, error) {
	for range portTries {
		p, err := TakePort(ctx, lowestPort+rand.N(highestPort-lowestPort)) //nolint:gosec // a port is no secret
		if err == nil {
			return p, nil
		}
	}
	return nil, errors.New("no free port was found")
}

// TakePort reserves the port of that number, or fails if it is not free.
func TakePort(ctx context.Context, number int) (*Port, error) {
	p := &Port{number: number}
	var listening net.ListenConfig
	var err error
	if p.hold, err = listening.ListenPacket(ctx, "udp", p.Addr()); err != nil {
		return nil, fmt.Errorf("take port %d: %w", number, err)
	}
	listener, err := listening.Listen(ctx, "tcp", p.Addr())
	if err != nil {
		return nil, fmt.Errorf("take port %d: %w", number, errors.Join(err, p.Close()))
	}
	return p, listener.Close()
}

// Addr returns host and port.
func (p *Port) Addr() string { return net.JoinHostPort("127.0.0.1", p.String()) }

// String returns the number alone.
func (p *Port) String() string { return strconv.Itoa(p.number) }

// Close gives the port back.
func (p *Port) Close() error { return p.hold.Close() }
