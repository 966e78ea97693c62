//go:build !linux

package lab_test

// parentArg names a program that only the tests on Linux have.
const parentArg = ""

func beParent() {}

func isHeadless() bool { return false }

func serveHeadless(string) {}
