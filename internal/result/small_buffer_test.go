package result_test

import "syscall"

// smallBuffer gives a socket the least room for what it receives.
func smallBuffer(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1)
	})
	if err != nil {
		return err
	}
	return failed
}
