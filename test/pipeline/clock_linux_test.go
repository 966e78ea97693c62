package pipeline_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

// One of three servers keeps the time badly. It takes the poll for one that has
// ended long ago, or will not for long; the others know better.
func TestQueueServerWhoseClockIsOneHourOffRefusesNobodyAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			const voters = 20
			wrong := labtest.RedisLike(t, lab.RedisConfig{Program: redisWithClock(t, off)})
			s := startSite(t, append(servers(t, 2), wrong), 1, 1, 1)
			if says := time.Until(s.clock(s.queues[2])).Round(time.Hour); says != off {
				t.Fatalf("its clock is off by %s, want %s", says, off)
			}
			s.openPoll(popeye.Poll{ID: thePoll, Policy: popeye.Change, Closes: time.Now().Add(30 * time.Minute)})
			s.known(thePoll)
			s.castAll("witness ", "a", 1)
			s.castAll("voter ", "a", voters)
			for n := range voters {
				s.changes(fmt.Sprint("voter ", n), "b")
			}
			s.closes(map[string]int64{"a": 1, "b": voters})
		})
	}
}

// clock returns what time it is by a queue server.
func (s *site) clock(q *queue) time.Time {
	s.t.Helper()
	answer, err := q.say("TIME")
	if err != nil {
		s.t.Fatal(err)
	}
	seconds, err := strconv.ParseInt(answer[0], 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return time.Unix(seconds, 0)
}

// wrongTime is put between a program and the system's clock.
const wrongTime = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
	int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
	int failed = real(now, zone);
	now->tv_sec += OFF;
	return failed;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int failed = real(clock, now);
	if (clock == CLOCK_REALTIME) now->tv_sec += OFF;
	return failed;
}
time_t time(time_t *result) {
	time_t (*real)(time_t *) = dlsym(RTLD_NEXT, "time");
	time_t now = real(0) + OFF;
	if (result) *result = now;
	return now;
}
`

// redisWithClock returns a program that starts Redis with a clock that is off. It
// takes the C compiler that the race detector takes, too.
func redisWithClock(t *testing.T, off time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	source, library, program := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so"), filepath.Join(dir, "redis")
	redis, err := exec.LookPath(lab.RedisPrograms()[0])
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nLD_PRELOAD=%s exec %s \"$@\"\n", library, redis)
	for file, text := range map[string]string{source: wrongTime, program: script} {
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	define := fmt.Sprintf("-DOFF=(%d)", int(off.Seconds()))
	if out, err := exec.Command("cc", define, "-shared", "-fPIC", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
		t.Skipf("without a C compiler the clock of Redis cannot be changed: %v\n%s", err, out)
	}
	return program
}
