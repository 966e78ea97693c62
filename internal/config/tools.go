package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// Organiser says which Popeye is managed, and what shows that one may.
type Organiser struct {
	Server    string `default:"http://localhost:8080" placeholder:"URL" help:"Address of Popeye."`
	Data      string `placeholder:"DIR" type:"path" help:"Data folder of a Popeye on this machine, for its administration token. Default: popeye in the user's data directory."`
	TokenFile string `placeholder:"FILE" type:"path" help:"File with the administration token. Default: admin-token in the data folder."`
}

func (o *Organiser) complete(getenv func(string) string) error {
	if err := checkURL("--server", o.Server); err != nil {
		return err
	}
	if o.TokenFile != "" {
		return nil
	}
	dir := o.Data
	if dir == "" {
		var err error
		if dir, err = dataDir(getenv); err != nil {
			return err
		}
	}
	o.TokenFile = filepath.Join(dir, AdminTokenName)
	return nil
}

// Polls is what "popeye polls" takes.
type Polls struct {
	Organiser

	Apply    PollsApply  `cmd:"" help:"Create or update the polls of a file, one by one; others stay. Doing it again changes nothing."`
	List     PollsList   `cmd:"" help:"List all polls."`
	Open     OnePoll     `cmd:"" help:"Open a draft, or begin a new round, from zero, of a closed poll. Export its result before: only the newest round is shown."`
	Close    OnePoll     `cmd:"" help:"Close a poll. What was acknowledged is counted, then the result is final."`
	Finalise OnePoll     `cmd:"" help:"Declare the result of a closed poll final although votes may be missing that only lost queue servers had. It is shown as incomplete, and what comes later is not counted. Without lost servers a closed poll becomes final by itself."`
	Delete   OnePoll     `cmd:"" help:"Delete a poll with all its votes."`
	Export   PollsExport `cmd:"" help:"Print a poll's result."`
}

// PollsApply is what "popeye polls apply" takes.
type PollsApply struct {
	File string `short:"f" required:"" placeholder:"FILE" help:"The polls as YAML; - for standard input."`
}

// PollsList is what "popeye polls list" takes.
type PollsList struct {
	JSON bool `name:"json" help:"Print the API's answer."`
}

// OnePoll names a poll.
type OnePoll struct {
	Poll string `arg:"" help:"Id of the poll."`
}

// PollsExport is what "popeye polls export" takes.
type PollsExport struct {
	OnePoll
	Format string `short:"o" default:"csv" enum:"csv,json" placeholder:"FORMAT" help:"csv or json."`
}

// Parked is what "popeye parked" takes.
type Parked struct {
	Organiser

	List  ParkedList `cmd:"" help:"List the rounds that have parked votes, with reasons, numbers and times; never who voted, nor for what."`
	Retry OneRound   `cmd:"" help:"Record the parked votes of a round that can be recorded by now. The others stay."`
	Drop  OneRound   `cmd:"" help:"Forget the parked votes of a round. The ledger goes on counting them as rejected."`
}

// ParkedList is what "popeye parked list" takes.
type ParkedList struct {
	JSON bool `name:"json" help:"Print the API's answer."`
}

// OneRound names a round.
type OneRound struct {
	Round int64 `arg:"" help:"Number of the round, as listed."`
}

// Secrets is what "popeye secrets" takes.
type Secrets struct {
	Name      string            `required:"" placeholder:"NAME" help:"What the Secrets' names begin with: of popeye come popeye-poll, popeye-worker and so on."`
	Part      []string          `default:"poll,worker,result,admin,metrics,postgres,migrate,redis" placeholder:"PART" help:"Who needs a Secret. Repeat it, or separate them by commas."`
	Given     map[string]string `mapsep:"," placeholder:"PART=NAME" help:"A Secret of another name that a part uses. It has to be there, with everything in it."`
	Label     map[string]string `mapsep:"," placeholder:"KEY=VALUE" help:"A label for the Secrets that are made."`
	APIServer string            `name:"api-server" default:"https://kubernetes.default.svc" placeholder:"URL" help:"Address of the API server."`
	Account   string            `default:"/var/run/secrets/kubernetes.io/serviceaccount" placeholder:"DIR" type:"path" help:"Folder with the token, ca.crt and namespace of the service account that may make Secrets."`
	Wait      time.Duration     `default:"60s" placeholder:"D" help:"How long to wait for an API server that does not answer."`
}

func (s *Secrets) check() error {
	if s.Wait < 0 {
		return errors.New("--wait must be 0 or more")
	}
	if !strings.HasPrefix(s.APIServer, "https://") {
		return errors.New("--api-server must begin with https://: secrets go there")
	}
	return checkURL("--api-server", s.APIServer)
}

// Health is what "popeye health" takes.
type Health struct {
	OpsAddr string        `default:"127.0.0.1:9090" placeholder:"ADDR" help:"Address that the role was given as --ops-addr."`
	Live    bool          `help:"Ask whether the process lives (/livez) instead of whether it can do its work (/readyz)."`
	Timeout time.Duration `default:"2s" placeholder:"D" help:"How long to wait for the answer."`
}

func (h *Health) check() error {
	if _, port, err := net.SplitHostPort(h.OpsAddr); err != nil || port == "" || port == "0" {
		return fmt.Errorf("--ops-addr must be an address such as 127.0.0.1:9090, is %q", h.OpsAddr)
	}
	if h.Timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	return nil
}

// Load is what "popeye load" takes.
type Load struct {
	URL         string        `name:"url" default:"http://localhost:8080" placeholder:"URL" help:"Address of Popeye."`
	ResultURL   string        `name:"result-url" placeholder:"URL" help:"Address of results, where no reverse proxy joins the roles. Default: that of --url."`
	Poll        string        `placeholder:"ID" help:"Poll to vote in; nobody else should vote there meanwhile. Default: the only open one."`
	Votes       int           `default:"10000" placeholder:"N" help:"Votes to cast, each by a voter of its own."`
	Concurrency int           `default:"64" placeholder:"C" help:"Votes in flight at a time."`
	Rate        float64       `default:"0" placeholder:"R" help:"Votes to begin each second, whatever the answers do (open loop). 0: each answer begins the next vote."`
	Viewers     int           `default:"0" placeholder:"V" help:"More live streams to follow meanwhile."`
	Timeout     time.Duration `default:"10s" placeholder:"D" help:"How long to wait for one answer."`
}

func (l *Load) check() error {
	if l.Votes < 1 || l.Concurrency < 1 || l.Rate < 0 || l.Timeout <= 0 {
		return errors.New("--votes and --concurrency must be at least 1, --rate 0 or more, --timeout above 0")
	}
	if l.ResultURL != "" {
		if err := checkURL("--result-url", l.ResultURL); err != nil {
			return err
		}
	}
	return checkURL("--url", l.URL)
}

// Drill is what "popeye drill" takes.
type Drill struct {
	Seed        uint64        `default:"0" placeholder:"N" help:"What makes up the votes and the faults; the same seed makes up the same ones. 0: another one each time. The report says which it was."`
	Votes       int           `default:"100000" placeholder:"N" help:"Votes to cast."`
	Duration    time.Duration `default:"10m" placeholder:"D" help:"How long to cast at most."`
	Rate        float64       `default:"500" placeholder:"R" help:"Votes to begin each second."`
	Plan        string        `default:"everything" placeholder:"PLAN" help:"Which faults: quiet, kills, pauses, partitions, everything, or a file of steps."`
	Queues      int           `default:"3" placeholder:"N" help:"Queue servers to start."`
	QueueCopies int           `default:"0" placeholder:"N" help:"Queue servers that have to have each vote. 0: more than half of them."`
	Dir         string        `placeholder:"DIR" type:"path" help:"Folder for data, logs and journal, new or empty. Default: a temporary one, kept when something is wrong."`
	Server      string        `placeholder:"URL" help:"Address of a Popeye to drill that runs already. Nothing is started then, and only steps of a file can break anything."`
	TokenFile   string        `placeholder:"FILE" type:"path" help:"File with that Popeye's administration token."`
	Timeout     time.Duration `default:"3s" placeholder:"D" help:"How long to wait for one answer."`
	Patience    time.Duration `default:"2m" placeholder:"D" help:"How long a voter goes on trying."`
}

func (d *Drill) check() error {
	if d.Votes < 1 || d.Duration <= 0 || !(d.Rate > 0) || d.Timeout <= 0 || d.Patience <= 0 {
		return errors.New("--votes must be at least 1, --duration, --rate, --timeout and --patience above 0")
	}
	if d.Queues < 1 || d.QueueCopies != 0 && (d.QueueCopies > d.Queues || 2*d.QueueCopies <= d.Queues) {
		return errors.New("--queues must be at least 1, and --queue-copies more than half of them")
	}
	if d.Server == "" {
		return nil
	}
	if d.TokenFile == "" {
		return errors.New("--server needs --token-file too")
	}
	return checkURL("--server", d.Server)
}

// Docs is "popeye docs".
type Docs struct{}

// Version is "popeye version".
type Version struct{}
