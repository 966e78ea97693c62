package compose

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// jobs are the services that end.
func isJob(s types.ServiceConfig) bool { return s.Restart == types.RestartPolicyOnFailure }

func TestNoPartCanDoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	for name, s := range load(t).Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s can write its image, keeps capabilities or may get more", name)
		}
		if s.Privileged || s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" || len(s.Devices) > 0 {
			t.Errorf("%s shares something with the machine", name)
		}
		if s.PidsLimit == 0 || s.MemLimit == 0 {
			t.Errorf("%s may take all processes or all memory", name)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("%s may fill the disk with its log", name)
		}
		if name == "cadvisor" { // which is there to look into the machine
			continue
		}
		if len(s.CapAdd) > 0 || s.User == "" || strings.HasPrefix(s.User, "0") || strings.HasPrefix(s.User, "root") {
			t.Errorf("%s runs as %q, with %v", name, s.User, s.CapAdd)
		}
		if s.Image == ownImage && s.User != "65532:65532" {
			t.Errorf("%s runs as %s", name, s.User)
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeVolume {
				t.Errorf("%s sees %s of the machine", name, v.Source)
			}
		}
	}
}

func TestCadvisorLooksAndDoesNotTouch(t *testing.T) {
	t.Parallel()
	s := load(t).Services["cadvisor"]
	if !slices.Equal(s.CapAdd, []string{"DAC_READ_SEARCH"}) {
		t.Errorf("it has %v", s.CapAdd)
	}
	for _, v := range s.Volumes {
		if !v.ReadOnly {
			t.Errorf("it can write %s", v.Source)
		}
	}
}

func TestPartsComeBackAndEndInOrder(t *testing.T) {
	t.Parallel()
	// How long each takes at most: for ours, requests in flight and the batch in
	// hand; for servers, to write what they hold.
	least := map[string]time.Duration{"postgres": time.Minute, "cadvisor": 0}
	for name, s := range load(t).Services {
		if isJob(s) {
			continue
		}
		if s.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("%s is started again: %s", name, s.Restart)
		}
		want, other := least[name]
		if !other {
			want = 30 * time.Second
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < want {
			t.Errorf("%s has %v to end", name, s.StopGracePeriod)
		}
		h := s.HealthCheck
		if h == nil || h.Disable || h.Interval == nil || h.Timeout == nil || h.Retries == nil || h.StartPeriod == nil {
			t.Errorf("%s is not asked for its health: %v", name, h)
		}
	}
}

func TestServersKeepTheirDataAndNobodyElseHasAny(t *testing.T) {
	t.Parallel()
	project := load(t)
	want := map[string]string{
		"redis-1": "/data", "redis-2": "/data", "redis-3": "/data",
		"postgres": "/var/lib/postgresql/data", "prometheus": "/prometheus",
	}
	for name, s := range project.Services {
		if name == "cadvisor" {
			continue
		}
		if want[name] == "" && len(s.Volumes) > 0 {
			t.Errorf("%s has %v", name, s.Volumes)
		}
		for _, v := range s.Volumes {
			if v.Source != name || v.Target != want[name] || v.ReadOnly {
				t.Errorf("%s has %v", name, v)
			}
		}
		if want[name] != "" && len(s.Volumes) != 1 {
			t.Errorf("%s keeps its data in %v", name, s.Volumes)
		}
	}
	if len(project.Volumes) != len(want) {
		t.Errorf("there are the volumes %v", project.VolumeNames())
	}
}

// A queue server whose log is rewritten is there twice for a moment.
func TestQueueServersHaveRoomForWhatTheyMayHold(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("redis.conf")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^maxmemory (\d+)mb$`).FindSubmatch(text)
	if found == nil {
		t.Fatal("a queue server may hold any number of votes")
	}
	most, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range load(t).Services {
		if kind(s) == "redis" && int64(s.MemLimit) < 2*most<<20 {
			t.Errorf("%s may hold %d MiB and use %d MiB", name, most, s.MemLimit>>20)
		}
	}
}

func TestImagesAreWhatTheyWereYesterday(t *testing.T) {
	t.Parallel()
	exact := regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-alpine)?$`)
	for name, s := range load(t).Services {
		if s.Image == ownImage {
			if s.Build == nil {
				t.Errorf("%s is not built", name)
			}
			continue
		}
		if !exact.MatchString(s.Image) || s.Build != nil {
			t.Errorf("%s runs %s", name, s.Image)
		}
	}
}

func TestPublishedPortsCanBeChosen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  []string
		want map[string]string
	}{
		{nil, map[string]string{"traefik": ":8080", "prometheus": "127.0.0.1:9090"}},
		{[]string{"POPEYE_PORT=80", "PROMETHEUS_PORT=9999"}, map[string]string{"traefik": ":80", "prometheus": "127.0.0.1:9999"}},
	} {
		for name, s := range load(t, c.env...).Services {
			var published []string
			for _, p := range s.Ports {
				published = append(published, p.HostIP+":"+p.Published)
			}
			if got := strings.Join(published, " "); got != c.want[name] {
				t.Errorf("with %v, %s publishes %q, not %q", c.env, name, got, c.want[name])
			}
		}
	}
}

func TestDatabaseIsPreparedInOrder(t *testing.T) {
	t.Parallel()
	project := load(t)
	for _, c := range []struct{ job, after, condition string }{
		{"roles", "postgres", types.ServiceConditionHealthy},
		{"migrate", "roles", types.ServiceConditionCompletedSuccessfully},
		{"rights", "migrate", types.ServiceConditionCompletedSuccessfully},
	} {
		s := project.Services[c.job]
		if len(s.DependsOn) != 1 || s.DependsOn[c.after].Condition != c.condition {
			t.Errorf("%s waits for %v", c.job, s.DependsOn)
		}
	}
	for name, s := range project.Services {
		if !isJob(s) && len(s.DependsOn) > 0 {
			t.Errorf("%s waits for %v to be started, and could wait by itself", name, s.DependsOn)
		}
	}
}
