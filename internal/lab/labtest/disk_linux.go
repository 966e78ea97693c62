package labtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of so many MiB for one test, and returns where. Where
// that is not allowed, the test is skipped.
func SmallDisk(tb testing.TB, mebibytes int) string {
	tb.Helper()
	dir := tb.TempDir()
	err := syscall.Mount("popeye-test", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", mebibytes))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		tb.Skipf("a small disk cannot be mounted here: %v", err)
	}
	if err != nil {
		tb.Fatalf("mount a small disk: %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			tb.Errorf("unmount the small disk: %v", err)
		}
	})
	return dir
}

// Fill leaves no byte free on a disk, until the function that it returns is called.
func Fill(tb testing.TB, disk string) (free func()) {
	tb.Helper()
	file, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		tb.Fatalf("fill the disk: %v", err)
	}
	return func() {
		if err := os.Remove(file.Name()); err != nil {
			tb.Fatal(err)
		}
	}
}
