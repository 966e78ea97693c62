package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const lunch = `polls:
  - id: lunch
    question: Where do we eat?
    options: [{id: thai, label: Thai}, {id: pizza, label: Pizza}]
`

// organiser is somebody with a terminal and the token.
type organiser struct {
	*process
	tokenFile string
}

func (p *process) organiser() organiser {
	return organiser{p, filepath.Join(p.data, "admin-token")}
}

// polls runs "popeye polls verb ..." with the flags before the arguments.
func (o organiser) polls(verb string, args ...string) ending {
	o.t.Helper()
	return popeye(o.t, append([]string{"polls", verb, "--server", o.base, "--token-file", o.tokenFile}, args...)...)
}

func TestOrganiserRunsAPollFromTheCommandLine(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	o := p.organiser()
	file := write(t, "polls.yaml", lunch)
	o.polls("apply", "-f", file).want(0, "lunch: created, open")
	o.polls("apply", "-f", file).want(0, "lunch: applied, open")
	o.polls("list").want(0, "POLL STATE", "lunch open", "Where do we eat?", "cats-dogs open")
	var listed struct{ Polls []struct{ ID, State string } }
	if err := json.Unmarshal([]byte(o.polls("list", "--json").want(0).out), &listed); err != nil || len(listed.Polls) != 2 {
		t.Errorf("list --json gives %+v, %v", listed, err)
	}
	p.visitor().cast("lunch", "thai").wants(t, http.StatusCreated)

	o.polls("close", "lunch").want(0, "lunch:")
	p.visitor().cast("lunch", "thai").wants(t, http.StatusGone)
	eventually(t, "the result is final", func() bool { return p.result("lunch").State == "final" })
	o.polls("export", "lunch").want(0, "thai,Thai,1", "pizza,Pizza,0")
	exported, err := parseResult(o.polls("export", "-o", "json", "lunch").want(0).out)
	if err != nil || exported.votes("thai") != 1 || exported.State != "final" {
		t.Errorf("exported %+v, %v", exported, err)
	}

	o.polls("open", "lunch").want(0, "lunch: open, round ")
	if got := p.result("lunch"); got.Total != 0 || got.State != "live" {
		t.Errorf("the new round begins with %+v", got)
	}
	o.polls("delete", "lunch").want(0, "lunch: deleted")
	p.visitor().get("/p/lunch").wants(t, http.StatusNotFound)
	o.polls("delete", "lunch").want(1, "no such poll")
	o.polls("close", "lunch").want(1, "no such poll")
}

func TestPollsComeFromStandardInputToo(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	popeyeWith(t, []string{"POPEYE_SERVER=" + p.base, "POPEYE_TOKEN_FILE=" + p.organiser().tokenFile}, lunch,
		"polls", "apply", "-f", "-").want(0, "lunch: created, open")
}

func TestExampleFileApplies(t *testing.T) {
	t.Parallel()
	example, err := filepath.Abs("../../polls.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := launch{}.start(t)
	p.organiser().polls("apply", "-f", example).want(0, ": created, ")
	p.organiser().polls("apply", "-f", example).want(0, ": applied, ")
	launch{args: []string{"--polls", example}}.start(t)
}

func TestCommandLineTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	o := p.organiser()
	broken := write(t, "polls.yaml", strings.Replace(lunch, "question", "qestion", 1))
	o.polls("apply", "-f", broken).want(1, broken+":3:5: ", `"qestion"`, `"question"`)
	o.polls("apply", "-f", broken+".not").want(1, broken+".not")
	o.polls("apply").want(2, "--file")
	o.polls("close").want(2, "<poll>")
	o.polls("list", "--nonsense").want(2, "--nonsense", "popeye --help")
	popeye(t, "nonsense").want(2, "nonsense")
	popeye(t, "all", "--log-level", "loud").want(2, "--log-level", "debug")
	popeyeWith(t, []string{"POPEYE_LOG_LEVEL=loud"}, "", "all").want(2, "log-level", "debug")

	wrong := organiser{p, write(t, "token", "wrong\n")}
	wrong.polls("list").want(1, "--token-file")
	missing := organiser{p, filepath.Join(t.TempDir(), "none")}
	missing.polls("list").want(1, missing.tokenFile, "--token-file")
	away := organiser{&process{t: t, base: "http://" + nobody}, o.tokenFile}
	away.polls("list").want(1, "is Popeye running at "+away.base)
	if got := p.visitor().get("/api/v1/polls"); strings.Contains(got.body, "lunch") {
		t.Errorf("what was refused is there: %s", got.body)
	}
}

func TestHelpNamesFlagsAndVariables(t *testing.T) {
	t.Parallel()
	for command, words := range map[string][]string{
		"":            {"all", "polls", "load", "version", "--help"},
		"all":         {"--listen", ":8080", "POPEYE_LISTEN", "--data", "POPEYE_DATA", "--ops-addr", "127.0.0.1:9090", "POPEYE_OPS_ADDR", "--polls", "POPEYE_POLLS", "--admin-token-file", "POPEYE_ADMIN_TOKEN_FILE", "--rate-limit", "POPEYE_RATE_LIMIT"},
		"polls":       {"apply", "list", "open", "close", "delete", "export", "--server", "POPEYE_SERVER", "--token-file", "POPEYE_TOKEN_FILE"},
		"polls apply": {"--file", "-f"},
		"load":        {"--url", "--votes", "--concurrency", "--rate"},
	} {
		popeye(t, append(strings.Fields(command), "--help")...).want(0, words...)
	}
	popeye(t, "version").want(0, "popeye ")
}

func TestLoadToolFindsEveryAcknowledgedVoteCounted(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	popeye(t, "load", "--url", p.base, "--votes", "300", "--concurrency", "8").want(0, "p50", "p99", "votes/s")
	if got := p.result("cats-dogs"); got.Total != 300 {
		t.Errorf("300 votes were cast, and the result is %+v", got)
	}
	popeye(t, "load", "--url", p.base, "--poll", "nothing", "--votes", "1").want(1, "nothing")
	popeye(t, "load", "--url", "http://"+nobody, "--votes", "1").want(1)
	popeye(t, "load", "--votes", "0").want(2, "--votes")
}

func TestEnvironmentSetsWhatFlagsSet(t *testing.T) {
	t.Parallel()
	data, token := filepath.Join(t.TempDir(), "data"), write(t, "token", "a-token-of-my-own\n")
	p := command(t, "", nil, []string{
		"POPEYE_LISTEN=127.0.0.1:0", "POPEYE_OPS_ADDR=127.0.0.1:0", "POPEYE_DATA=" + data,
		"POPEYE_POLLS=" + write(t, "polls.yaml", lunch), "POPEYE_ADMIN_TOKEN_FILE=" + token, "POPEYE_LOG_FORMAT=json",
	})
	p.data = data
	p.begin()
	p.waitUntilServing()
	p.visitor().cast("lunch", "pizza").wants(t, http.StatusCreated)
	organiser{p, token}.polls("export", "lunch").want(0, "pizza,Pizza,1")
	if _, err := os.Stat(filepath.Join(data, "popeye.db")); err != nil {
		t.Error(err)
	}
}

func TestFlagWinsOverTheEnvironment(t *testing.T) {
	t.Parallel()
	p := launch{env: []string{"POPEYE_LISTEN=nowhere", "POPEYE_OPS_ADDR=nowhere", "POPEYE_DATA=/nowhere"}}.start(t)
	p.visitor().get("/").wants(t, http.StatusOK)
}

func TestPollsFileIsAppliedAtEveryStart(t *testing.T) {
	t.Parallel()
	file := write(t, "polls.yaml", lunch)
	l := launch{data: t.TempDir(), args: []string{"--polls", file}}
	p := l.start(t)
	if got := p.visitor().get("/api/v1/polls"); strings.Contains(got.body, "cats-dogs") {
		t.Errorf("with polls of one's own there is the classic one too: %s", got.body)
	}
	p.visitor().cast("lunch", "thai").wants(t, http.StatusCreated)
	before := p.result("lunch")
	p.stop()
	p = l.start(t)
	if after := p.result("lunch"); after.Version != before.Version || after.Total != 1 {
		t.Errorf("the same file again made %+v of %+v", after, before)
	}
	p.stop()
	if err := os.WriteFile(file, []byte(strings.Replace(lunch, "Where", "And where", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p = l.start(t)
	if page := p.visitor().get("/p/lunch").body; !strings.Contains(page, "And where do we eat?") {
		t.Error("the page does not have the new question")
	}
	p.result("lunch").wantCounts(t, 1, map[string]int64{"thai": 1, "pizza": 0})
}

// nobody is an address where nobody listens, and that no other test is given.
const nobody = "127.0.0.1:1"

// write writes a file that the test needs.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
