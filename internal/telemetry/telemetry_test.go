package telemetry_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"popeye/internal/telemetry"
)

func TestFloodOfOneMessageIsCountedAndNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, "json", "info")
		for i := range 1000 {
			log.With("part", "x").ErrorContext(t.Context(), "request failed", "n", i)
		}
		log.ErrorContext(t.Context(), "something else")
		log.WarnContext(t.Context(), "request failed")
		if lines := strings.Count(out.String(), "\n"); lines != 12 {
			t.Errorf("%d lines are written: %s", lines, &out)
		}
		out.Reset()
		<-time.After(time.Second) // of the bubble's clock
		log.ErrorContext(t.Context(), "request failed")
		log.ErrorContext(t.Context(), "request failed")
		if got := out.String(); !strings.Contains(got, `"left_out":990`) || strings.Count(got, "left_out") != 1 || strings.Count(got, "\n") != 2 {
			t.Errorf("what was left out is not told once: %s", got)
		}
	})
}

func TestLevelAndFormatAreAsAsked(t *testing.T) {
	for _, c := range []struct{ format, level, want string }{
		{"json", "warn", `"msg":"b"`},
		{"text", "warn", "msg=b"},
		{"text", "debug", "msg=a"},
		{"text", "loud", "msg=b"}, // unknown means info
	} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, c.format, c.level)
		log.DebugContext(t.Context(), "a")
		log.WarnContext(t.Context(), "b")
		if !strings.Contains(out.String(), c.want) || c.level != "debug" && strings.Contains(out.String(), "a\n") {
			t.Errorf("%+v: %s", c, &out)
		}
	}
}
