package config

import (
	"errors"
	"time"
)

// Poll is what "popeye poll" takes.
type Poll struct {
	Serving
	Queue
	Room
	QueueTimeout  time.Duration `default:"500ms" placeholder:"D" help:"How long to wait for one queue server before the next one is asked, 100ms to 2s. More where servers are slow at times but seldom away."`
	VoterKeyFile  string        `required:"" placeholder:"FILE" type:"path" help:"Keys that turn voters into pseudonyms, one a line, the same for every replica; new rounds use the first. Keep a key for as long as a round that began with it is open."`
	CookieKeyFile string        `placeholder:"FILE" type:"path" help:"Keys that sign voters' cookies, one a line; the first signs, all are believed. Default: keys derived from those of --voter-key-file."`
	Proxies
	Limit
	Logging
}

func (p *Poll) complete() error {
	if p.QueueTimeout < 100*time.Millisecond || p.QueueTimeout > 2*time.Second {
		return errors.New("--queue-timeout must be 100ms to 2s")
	}
	return errors.Join(p.checkDrain(), p.Queue.complete(), p.checkRoom(), p.checkLimits())
}

// Worker is what "popeye worker" takes.
type Worker struct {
	Operations
	Queue
	Room
	Linger         time.Duration `default:"20ms" placeholder:"D" help:"How often batches of votes are taken from queue servers that are neither idle nor behind, and recorded together, 0 to 1s. More saves the database, the queue servers and this worker work, as each batch costs them a few writes to disk, and lets results be so much later."`
	QueueRetention time.Duration `default:"10m" placeholder:"D" help:"For how long recorded votes stay in the queue, as far as there is room, so that a database that loses its last commits can be healed."`
	Database
	Logging
}

func (w *Worker) complete() error {
	if w.QueueRetention <= 0 {
		return errors.New("--queue-retention must be above 0")
	}
	if w.Linger < 0 || w.Linger > time.Second {
		return errors.New("--linger must be 0 to 1s")
	}
	return errors.Join(w.Queue.complete(), w.checkRoom(), w.Database.complete())
}

// Result is what "popeye result" takes.
type Result struct {
	Serving
	Database
	CookieKeyFile string `placeholder:"FILE" type:"path" help:"Keys that sign voters' cookies, as poll has them. Without them, results that are shown after one's vote are shown after closing only."`
	Proxies
	Audience
	Logging
}

func (r *Result) complete() error {
	return errors.Join(r.checkDrain(), r.Database.complete(), r.checkViewers())
}

// Admin is what "popeye admin" takes.
type Admin struct {
	Serving
	Database
	AdminTokenFile string `required:"" placeholder:"FILE" type:"path" help:"File with the administration token."`
	Logging
}

func (a *Admin) complete() error { return errors.Join(a.checkDrain(), a.Database.complete()) }

// Migrate is what "popeye migrate" takes.
type Migrate struct {
	Database
	Wait time.Duration `default:"60s" placeholder:"D" help:"How long to wait for a database that does not answer."`
}

func (m *Migrate) complete() error {
	if m.Wait < 0 {
		return errors.New("--wait must be 0 or more")
	}
	return m.Database.complete()
}

// Replay is what "popeye replay" takes.
type Replay struct {
	Since time.Duration `required:"" placeholder:"D" help:"How far back to begin, such as 1h."`
	Queue
	Database
}

func (r *Replay) complete() error {
	if r.Since <= 0 {
		return errors.New("--since must be above 0")
	}
	return errors.Join(r.Queue.complete(), r.Database.complete())
}

// Verify is what "popeye verify" takes.
type Verify struct {
	Database
	URLs []Secret `name:"queue" placeholder:"URL" help:"Address of a queue server to look at too, such as redis://10.0.0.1:6379: every vote that it keeps must have left its trace in the database. Several as for worker."`
	QueueAccess
	Wait time.Duration `default:"20s" placeholder:"D" help:"How long a vote that a queue server has may take to be in the database: it may be on its way, in the hands of a worker, or of one that has just died."`
}

func (v *Verify) complete() error {
	if v.Wait < 0 {
		return errors.New("--wait must be 0 or more")
	}
	if len(v.URLs) == 0 {
		return v.Database.complete()
	}
	return errors.Join(v.Database.complete(), v.QueueAccess.complete(v.URLs))
}
