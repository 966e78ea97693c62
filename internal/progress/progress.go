// Package progress shows how far a long command is: a bar that moves on a
// terminal, a line from time to time elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
)

const (
	redrawEvery = 100 * time.Millisecond
	lineEvery   = 5 * time.Second
	barWidth    = 30
	// clearLine takes what the line shows away.
	clearLine = "\r\x1b[K"
)

// Bar shows what a function tells until End.
type Bar struct {
	out      io.Writer
	tell     func() (share float64, text string)
	terminal bool
	stop     chan struct{}
	stopped  sync.WaitGroup

	mu sync.Mutex
}

// Show begins to show on out what tell returns: how much is done, from 0 to 1,
// and a text without line breaks. If out is nil nothing is shown.
func Show(out io.Writer, tell func() (share float64, text string)) *Bar {
	file, ok := out.(*os.File)
	return show(out, ok && isatty.IsTerminal(file.Fd()), tell)
}

func show(out io.Writer, terminal bool, tell func() (share float64, text string)) *Bar {
	b := &Bar{out: out, terminal: terminal, tell: tell, stop: make(chan struct{})}
	if out != nil {
		b.stopped.Go(b.run)
	}
	return b
}

// End stops showing, and takes the bar away.
func (b *Bar) End() {
	close(b.stop)
	b.stopped.Wait()
	b.clear()
}

// Print calls print, which may write to the same terminal, while the bar is away.
func (b *Bar) Print(print func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	print()
}

func (b *Bar) clear() {
	if b.terminal {
		fmt.Fprint(b.out, clearLine)
	}
}

func (b *Bar) run() {
	every := lineEvery
	if b.terminal {
		every = redrawEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.draw()
		case <-b.stop:
			return
		}
	}
}

func (b *Bar) draw() {
	share, text := b.tell()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.terminal {
		fmt.Fprintln(b.out, text)
		return
	}
	full := int(min(max(share, 0), 1) * barWidth)
	fmt.Fprintf(b.out, "%s[%s%s] %s", clearLine, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), text)
}
