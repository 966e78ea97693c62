package config

import (
	"errors"
	"math"
	"net/netip"
	"time"
)

// All is what "popeye all" takes.
type All struct {
	Serving
	Data           string `placeholder:"DIR" type:"path" help:"Folder of popeye.db and of the keys; made when missing. Default: popeye in the user's data directory ($$XDG_DATA_HOME, or ~/.local/share)."`
	Polls          string `placeholder:"FILE" type:"path" help:"Polls to apply at the start, as YAML."`
	AdminTokenFile string `placeholder:"FILE" type:"path" help:"File with the administration token. Default: admin-token in the data folder, generated and printed at the first start."`
	VoterKeyFile   string `placeholder:"FILE" type:"path" help:"Keys that turn voters into pseudonyms, one a line; new rounds use the first. Default: voter.keys in the data folder, generated at the first start."`
	CookieKeyFile  string `placeholder:"FILE" type:"path" help:"Keys that sign voters' cookies, one a line; the first signs, all are believed. Default: cookie.keys in the data folder, generated at the first start."`
	Proxies
	Limit
	Audience
	QueueCapacity int `default:"65536" placeholder:"N" help:"Most votes waiting to be recorded; more are answered 503."`
	Logging
}

func (a *All) complete(getenv func(string) string) error {
	if a.Data == "" {
		dir, err := dataDir(getenv)
		if err != nil {
			return err
		}
		a.Data = dir
	}
	if a.QueueCapacity < 1 {
		return errors.New("--queue-capacity must be at least 1")
	}
	return errors.Join(a.checkDrain(), a.checkLimits(), a.checkViewers())
}

// Serving says where a role that has pages serves them.
type Serving struct {
	Listen string        `default:":8080" placeholder:"ADDR" help:"Address of the pages and the API."`
	Drain  time.Duration `default:"0s" placeholder:"D" help:"How long to go on serving, at most, once the process is told to end (SIGTERM), until nobody comes any more: whoever sends requests here hears of the end a moment later. 0s: not at all."`
	Operations
}

func (s Serving) checkDrain() error {
	if s.Drain < 0 {
		return errors.New("--drain must be 0 or more")
	}
	return nil
}

// Operations says where a role can be looked after.
type Operations struct {
	OpsAddr string `default:"127.0.0.1:9090" placeholder:"ADDR" help:"Address of /livez, /readyz and /metrics."`
}

// Proxies says who stands before a role.
type Proxies struct {
	TrustedProxies []netip.Prefix `placeholder:"CIDR" help:"Networks of reverse proxies, separated by commas, whose X-Forwarded-Proto and X-Forwarded-For are believed."`
}

// Limit says how much one network may cast.
type Limit struct {
	RateLimit float64 `default:"0" placeholder:"N" help:"Votes a second allowed to each network (IPv4 address, IPv6 /64), with bursts of 5 N. 0: no limit; a reverse proxy usually does this."`
	MaxCasts  int     `default:"2048" placeholder:"N" help:"Most votes on their way to the queue at a time. One more is refused at once (503, to be sent again), rather than that all become late, and memory runs out."`
}

func (l Limit) checkLimits() error {
	if !(l.RateLimit >= 0) || math.IsInf(l.RateLimit, 1) {
		return errors.New("--rate-limit must be 0 or more")
	}
	if l.MaxCasts < 1 {
		return errors.New("--max-casts must be 1 or more")
	}
	return nil
}

// Audience says how many may look on.
type Audience struct {
	MaxViewers int `default:"50000" placeholder:"N" help:"Most live streams open at a time."`
}

func (a Audience) checkViewers() error {
	if a.MaxViewers < 1 {
		return errors.New("--max-viewers must be at least 1")
	}
	return nil
}

// Logging says what is logged, and how.
type Logging struct {
	LogLevel  string `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat string `default:"auto" enum:"auto,text,json" placeholder:"FORMAT" help:"text, json, or auto: text on a terminal, json elsewhere."`
}
