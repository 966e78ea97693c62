//go:build !unix

package result

import "syscall"

// sender writes without waiting where the system can do that. Here it is not
// known how: every frame is written by a goroutine.
type sender struct{}

func newSender(syscall.Conn) *sender { return nil }

func (*sender) write([]byte) (int, error) { return 0, nil }
