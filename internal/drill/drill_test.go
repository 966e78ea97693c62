package drill

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"popeye/internal/web"
)

// patience is how long anything may take on a busy machine.
const patience = time.Minute

func TestHonestPopeyePassesWhateverGoesWrongOnTheWay(t *testing.T) {
	t.Parallel()
	f, url := newFake(t)
	f.trouble = everyOther
	report, out := drillAt(t, url, func(c *Config) { c.Votes = 200 })
	if !report.OK() || report.Acknowledged != 200 || report.Unknown != 0 || len(report.Again) == 0 {
		t.Errorf("%+v", report)
	}
	if report.Attempted != report.Acknowledged+report.Others || report.Others == 0 {
		t.Errorf("of %d votes %d are acknowledged, and of %d another one stands", report.Attempted, report.Acknowledged, report.Others)
	}
	if report.Counted != report.Voters || report.Counted >= 200 {
		t.Errorf("%d of %d voters are counted, some of whom vote more than once", report.Counted, report.Voters)
	}
	for _, reason := range []string{`503 "wait a moment"`, `503 "no available server"`, "no answer"} {
		if report.Again[reason] == 0 {
			t.Errorf("no vote was sent again for %s: %v", reason, report.Again)
		}
	}
	wantEnd(t, out, report)
}

func TestEveryWrongIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wrong func(*fake)
		want  Report
		says  string
	}{
		"an acknowledged vote that is not counted": {
			func(f *fake) { f.forget = func(n int) bool { return n == 100 || n == 200 } },
			Report{Lost: 2},
			"",
		},
		"a receipt listed twice": {
			forgery(func(r *web.Result, receipts *[]string) {
				*receipts = append((*receipts)[:1], *receipts...)
				r.Total++
				r.Ledger.Stored++
				r.Ledger.Accepted++
				r.Options[0].Votes++
			}),
			Report{Doubled: 1, Drift: 1},
			"",
		},
		"a vote counted that has no receipt": {
			forgery(func(r *web.Result, _ *[]string) {
				r.Total++
				r.Ledger.Stored++
				r.Ledger.Accepted++
				r.Options[0].Votes++
			}),
			Report{Doubled: 1, Drift: 1},
			"",
		},
		"a vote that nobody has cast": {
			forgery(func(r *web.Result, receipts *[]string) {
				*receipts = append(*receipts, "ZZZZZZZZZZZZZZZZ")
				r.Total++
				r.Ledger.Stored++
				r.Ledger.Accepted++
				r.Options[0].Votes++
			}),
			Report{Invented: 1, Drift: 1},
			"",
		},
		"a vote counted for another option": {
			forgery(func(r *web.Result, _ *[]string) {
				i := most(r)
				r.Options[i].Votes--
				r.Options[(i+1)%len(r.Options)].Votes++
			}),
			Report{Drift: 2},
			"",
		},
		"a ledger that does not add up": {
			forgery(func(r *web.Result, _ *[]string) { r.Ledger.Accepted++ }), Report{}, "ledger",
		},
		"a total without its receipts": {
			forgery(func(r *web.Result, receipts *[]string) { *receipts = (*receipts)[1:] }), Report{Lost: 1, Doubled: 1, Drift: 1}, "",
		},
		"a receipt beyond the total": {
			forgery(func(r *web.Result, _ *[]string) { r.Total--; r.Options[most(r)].Votes-- }), Report{Drift: 1}, "receipts listed",
		},
		"receipts in another order": {
			forgery(func(_ *web.Result, receipts *[]string) {
				(*receipts)[0], (*receipts)[9] = (*receipts)[9], (*receipts)[0]
			}), Report{}, "not sorted",
		},
		"another hash": {
			forgery(func(r *web.Result, _ *[]string) { r.Receipts = &web.ReceiptsResult{SHA256: "00"} }), Report{}, "hash",
		},
		"a result that lacks a queue server": {
			forgery(func(r *web.Result, _ *[]string) { r.Incomplete = true }), Report{}, "without all queue servers",
		},
		"a vote refused for good": {
			func(f *fake) {
				f.trouble = func(n int) trouble {
					if n == 300 {
						return gone
					}
					return none
				}
			}, Report{}, "refused with 410",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, url := newFake(t)
			c.wrong(f)
			got, out := drillAt(t, url, nil)
			if got.Lost != c.want.Lost || got.Doubled != c.want.Doubled || got.Invented != c.want.Invented || got.Drift != c.want.Drift {
				t.Errorf("lost %d, doubled %d, invented %d, drift %d", got.Lost, got.Doubled, got.Invented, got.Drift)
			}
			if got.OK() || (c.says == "") != (len(got.Problems) == 0) || !strings.Contains(out, c.says) {
				t.Errorf("OK is %v, want something about %q:\n%s", got.OK(), c.says, out)
			}
			if told := strings.Count(out, "by the answers") + strings.Count(out, "voters are counted"); (got.Drift > 0) != (told > 0) {
				t.Errorf("a drift of %d, in %d lines:\n%s", got.Drift, told, out)
			}
			wantEnd(t, out, got)
		})
	}
}

// forgery forges the result of one poll.
func forgery(forge func(r *web.Result, receipts *[]string)) func(*fake) {
	return func(f *fake) {
		f.forge = func(r *web.Result, receipts *[]string) {
			if isFirst(r) {
				forge(r, receipts)
			}
		}
	}
}

func TestResultServersThatDisagreeAreFound(t *testing.T) {
	t.Parallel()
	f, url := newFake(t)
	asked := 0
	f.forge = func(r *web.Result, _ *[]string) {
		if isFirst(r) {
			if asked++; asked == 2 {
				r.Total++
			}
		}
	}
	target := newTarget([]string{url}, []string{url, url}, organiserOf(url))
	if err := target.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, differences, err := target.finish(t.Context())
	if err != nil || len(differences) != 1 {
		t.Errorf("%q, %v", differences, err)
	}
}

func TestVotesWhoseFateNobodyTellsAreNeitherLostNorInvented(t *testing.T) {
	t.Parallel()
	f, url := newFake(t)
	f.trouble = func(n int) trouble {
		switch {
		case n > 300 && n%2 == 0:
			return lostReply
		case n > 300:
			return unavailable
		default:
			return none
		}
	}
	report, _ := drillAt(t, url, func(c *Config) { c.Rate, c.Patience = 200, 200*time.Millisecond })
	if !report.OK() || report.Unknown == 0 || report.Trouble == "" {
		t.Errorf("%+v", report)
	}
	if report.Counted <= 150 || report.Counted >= report.Voters {
		t.Errorf("%d of %d voters are counted: this test shows nothing", report.Counted, report.Voters)
	}
}

func TestDrillEndsAtItsDuration(t *testing.T) {
	t.Parallel()
	_, url := newFake(t)
	report, _ := drillAt(t, url, func(c *Config) { c.Rate, c.Duration = 5, 3*time.Second })
	if !report.OK() || report.Acknowledged == 0 || report.Acknowledged > 17 {
		t.Errorf("%+v", report)
	}
}

// The votes are over while a command of the plan is under way. It runs to its end, what
// it did is undone, and votes are compared.
func TestDrillThatEndsWithinAFaultUndoesIt(t *testing.T) {
	t.Parallel()
	_, url := newFake(t)
	in := func(name string) string { return filepath.Join(t.TempDir(), name) }
	plan, begun, goOn, done, undone := in("plan.yaml"), in("begun"), in("go-on"), in("done"), in("undone")
	text := fmt.Sprintf("steps:\n- exec: [sh, -c, 'touch %s; until [ -e %s ]; do sleep 0.01; done; touch %s']\n  undo: [sh, -c, 'ls %s && touch %s']\n",
		begun, goOn, done, done, undone)
	if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	enough := make(chan struct{})
	go func() {
		for !exists(begun) {
			time.Sleep(time.Millisecond)
		}
		close(enough)
		time.Sleep(100 * time.Millisecond) // in which the votes are over
		_ = os.WriteFile(goOn, nil, 0o600)
	}()
	report, _ := drillAt(t, url, func(c *Config) { c.Rate, c.Votes, c.Plan, c.Enough = 20, MaxVotes, plan, enough })
	if !report.OK() || !exists(done) || !exists(undone) {
		t.Errorf("done %t, undone %t, %+v", exists(done), exists(undone), report)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func TestDrillLeavesItsJournalWhereItIsTold(t *testing.T) {
	t.Parallel()
	_, url := newFake(t)
	dir := t.TempDir()
	report, out := drillAt(t, url, func(c *Config) { c.Dir = dir })
	text, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil || report.Dir != dir || !strings.Contains(out, dir) {
		t.Fatalf("kept in %q: %v", report.Dir, err)
	}
	if n := strings.Count(string(text), "\nacknowledged "); int64(n) != report.Acknowledged {
		t.Errorf("the journal has %d acknowledgements, the report %d", n, report.Acknowledged)
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*Config){
		"not 0":       func(c *Config) { c.Votes = 0 },
		"a second":    func(c *Config) { c.Rate = math.NaN() },
		"seconds":     func(c *Config) { c.Duration = -1 },
		"servers":     func(c *Config) { c.Servers = 10 },
		"copies":      func(c *Config) { c.Servers, c.Copies = 4, 2 },
		"no plan":     func(c *Config) { c.Plan = "mayhem" },
		"runs alread": func(c *Config) { c.Plan, c.Server = "kills", "http://localhost" },
	} {
		cfg := Config{Votes: 1, Duration: time.Second, Rate: 1, Plan: "quiet", Binary: "/nowhere"}
		change(&cfg)
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want something about %q", err, says)
		}
	}
}

func TestDrillThatCannotBeComparedSaysNothingOfLostVotes(t *testing.T) {
	t.Parallel()
	f, url := newFake(t)
	f.trouble = func(n int) trouble { return none }
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	_, err := Run(t.Context(), Config{
		Votes: 1, Duration: time.Second, Rate: 1, Plan: "quiet", Server: url, Token: token, Dir: dir, Out: &out,
	})
	if !errors.Is(err, os.ErrExist) || out.Len() > 0 {
		t.Errorf("%v, and it says %q", err, out.String())
	}
}
