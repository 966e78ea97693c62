package load

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
)

// progress shows how far a run is: a bar that moves on a terminal, a line from
// time to time elsewhere.
type progress struct {
	out      io.Writer
	votes    int
	count    func() (done, acked int64)
	start    time.Time
	terminal bool
	stop     chan struct{}
	stopped  sync.WaitGroup
}

// showProgress begins to show what count returns, until end.
func showProgress(out io.Writer, votes int, count func() (done, acked int64)) *progress {
	p := &progress{out: out, votes: votes, count: count, start: time.Now(), stop: make(chan struct{})}
	if out == nil {
		return p
	}
	file, ok := out.(*os.File)
	p.terminal = ok && isatty.IsTerminal(file.Fd())
	p.stopped.Go(p.run)
	return p
}

// end stops showing, and takes the bar away.
func (p *progress) end() {
	close(p.stop)
	p.stopped.Wait()
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func (p *progress) run() {
	every := lineEvery
	if p.terminal {
		every = redrawEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			p.show(now)
		case <-p.stop:
			return
		}
	}
}

func (p *progress) show(now time.Time) {
	done, acked := p.count()
	rate := float64(acked) / now.Sub(p.start).Seconds()
	text := fmt.Sprintf("%d of %d votes, %.0f/s", done, p.votes, rate)
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	full := int(done * barWidth / int64(p.votes))
	fmt.Fprintf(p.out, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), text)
}
