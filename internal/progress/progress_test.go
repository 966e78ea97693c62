package progress

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sheet is what is shown where there is no terminal.
type sheet struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *sheet) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sheet) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestWithoutATerminalThereIsALineFromTimeToTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sheet{}
		bar := Show(out, func() (float64, string) { return 0.5, "half of it" })
		<-time.After(16 * time.Second) // of the bubble's clock
		bar.Print(func() {
			if _, err := out.Write([]byte("in between\n")); err != nil {
				t.Error(err)
			}
		})
		bar.End()
		if want := strings.Repeat("half of it\n", 3) + "in between\n"; out.String() != want {
			t.Errorf("%q is shown, want %q", out.String(), want)
		}
	})
}

func TestTerminalGetsABarThatIsTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sheet{}
		bar := show(out, true, func() (float64, string) { return 0.5, "half of it" })
		<-time.After(150 * time.Millisecond) // of the bubble's clock
		bar.Print(func() {
			if _, err := out.Write([]byte("in between\n")); err != nil {
				t.Error(err)
			}
		})
		bar.End()
		drawn := clearLine + "[" + strings.Repeat("#", 15) + strings.Repeat(".", 15) + "] half of it"
		if want := drawn + clearLine + "in between\n" + clearLine; out.String() != want {
			t.Errorf("%q is shown, want %q", out.String(), want)
		}
	})
}

func TestNothingIsShownToNobody(t *testing.T) {
	t.Parallel()
	bar := Show(nil, func() (float64, string) {
		t.Error("it is asked")
		return 0, ""
	})
	printed := false
	bar.Print(func() { printed = true })
	bar.End()
	if !printed {
		t.Error("what is printed besides is lost")
	}
}
