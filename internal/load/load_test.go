package load

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The tests run on the bubble's clock: what they say of times is exact, and
// nothing waits.

func mustRun(t *testing.T, cfg Config) Report {
	t.Helper()
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestEveryVoteIsCastOnceAndFoundCounted(t *testing.T) {
	for name, rate := range map[string]float64{"closed loop": 0, "open loop": 500} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("a", "b", "c")
				f.votes[1], f.total = 7, 7 // others voted before
				cfg := f.serve(t)
				cfg.Rate = rate
				report := mustRun(t, cfg)
				if !report.OK || report.Acknowledged != 100 || report.Counted != 100 || f.total != 107 {
					t.Errorf("%+v", report)
				}
				if report.Screen.Count != 100 || report.Latency.Count != 100 {
					t.Errorf("measured %d latencies, %d votes to the screen", report.Latency.Count, report.Screen.Count)
				}
			})
		})
	}
}

func TestAVoteOfAMultipleChoiceNamesAsManyOptionsAsItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b", "c", "d")
		f.min = 3
		if report := mustRun(t, f.serve(t)); !report.OK || report.Counted != 100 {
			t.Errorf("%+v", report)
		}
	})
}

func TestWhatIsCountedWronglyIsNoticed(t *testing.T) {
	for name, tt := range map[string]struct {
		count func(n int, chosen []int) []int
		want  string
	}{
		"a lost vote": {
			func(n int, chosen []int) []int {
				if n == 50 {
					return nil
				}
				return chosen
			},
			"1 votes missing in all: 100 acknowledged, 99 counted",
		},
		"a doubled vote": {
			func(n int, chosen []int) []int {
				if n == 50 {
					return append(chosen, chosen...)
				}
				return chosen
			},
			"1 votes too many in all",
		},
		"votes for the other option": {
			func(_ int, chosen []int) []int { return []int{1 - chosen[0]} }, "votes missing for a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("a", "b")
				f.count = tt.count
				report := mustRun(t, f.serve(t))
				if text := report.String(); report.OK || !strings.Contains(text, tt.want) {
					t.Errorf("OK is %t, want the problem %q in\n%s", report.OK, tt.want, text)
				}
			})
		})
	}
}

func TestAVoteRefusedForNowIsRepeatedUnderItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		refused := map[string]bool{}
		var mu sync.Mutex
		f.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			key := r.Header.Get("Idempotency-Key")
			if refused[key] {
				return false
			}
			refused[key] = true
			unavailable(w, 2)
			return true
		}
		cfg := f.serve(t)
		cfg.Votes, cfg.Concurrency = 10, 1
		report := mustRun(t, cfg)
		if !report.OK || report.Retries != 10 || f.requests != 20 {
			t.Errorf("%d requests, %+v", f.requests, report)
		}
		if report.Latency.P50 < 2*time.Second {
			t.Errorf("waited %s where the server asked for 2s", report.Latency.P50)
		}
	})
}

func TestAVoteWhoseAnswerIsLostCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		f.after = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n%3 == 0 {
				drop(w)
			}
			return false
		}
		report := mustRun(t, f.serve(t))
		if !report.OK || report.Acknowledged != 100 || report.Retries == 0 {
			t.Errorf("%+v", report)
		}
	})
}

func TestAVoteThatNeverGetsAnAnswerMayCountOrNot(t *testing.T) {
	for name, counted := range map[string]bool{"counted": true, "not counted": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("a", "b")
				mute := func(_ int, w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.Header.Get("Idempotency-Key"), "-42") {
						drop(w)
					}
					return false
				}
				if counted {
					f.after = mute
				} else {
					f.before = mute
				}
				report := mustRun(t, f.serve(t))
				want := int64(99)
				if counted {
					want = 100
				}
				if !report.OK || report.Acknowledged != 99 || report.Unknown != 1 || report.Counted != want {
					t.Errorf("%+v", report)
				}
			})
		})
	}
}

func TestAnOpenLoopDoesNotWaitForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		all := make(chan struct{})
		f.before = func(n int, _ http.ResponseWriter, _ *http.Request) bool {
			if n == 100 {
				close(all)
			}
			<-all
			return false
		}
		cfg := f.serve(t)
		cfg.Rate, cfg.Concurrency = 100, 1
		report := mustRun(t, cfg)
		if !report.OK || report.Retries != 0 {
			t.Errorf("%+v", report)
		}
		// The first vote waited for the hundredth, due 990 ms later.
		if got := report.Latency.Max.Round(10 * time.Millisecond); got != 990*time.Millisecond {
			t.Errorf("the longest latency is %s", got)
		}
	})
}

func TestAVotesClockStartsWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		cfg, err := f.serve(t).complete()
		if err != nil {
			t.Fatal(err)
		}
		target, err := newTarget(cfg, cfg.URL)
		if err != nil {
			t.Fatal(err)
		}
		p, err := target.choose(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		c := &caster{run: newRun(cfg, target, p, resultInfo{}), stop: func(error) {}}
		defer c.hangUp()
		c.cast(t.Context(), job{vote: 0, due: time.Now().Add(-time.Minute)})
		if got := c.book.latency.quantiles(); got.P50.Round(time.Second) != time.Minute {
			t.Errorf("a vote begun a minute late has a latency of %s", got.P50)
		}
	})
}

func TestCastingStopsWhenThePollDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		f.before = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 20 {
				w.WriteHeader(http.StatusGone)
			}
			return n > 20
		}
		report, err := Run(t.Context(), f.serve(t))
		if err == nil || !strings.Contains(err.Error(), "closed or deleted") {
			t.Errorf("error is %v", err)
		}
		if !report.OK || report.Acknowledged != 20 || report.Counted != 20 || report.Unknown != 0 {
			t.Errorf("%+v", report)
		}
	})
}

func TestAServerThatStaysAwayEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		f.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			unavailable(w, 1)
			return true
		}
		cfg := f.serve(t)
		cfg.Votes = MaxVotes
		_, err := Run(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestAnInterruptedRunSaysHowFarItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		f.before = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 10 {
				cancel()
				drop(w)
			}
			return false
		}
		cfg := f.serve(t)
		cfg.Concurrency = 1
		report, err := Run(ctx, cfg)
		if err == nil || report.Acknowledged != 10 || report.OK {
			t.Errorf("error is %v, %+v", err, report)
		}
	})
}

func TestAStreamThatBreaksIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		whole := f.handler()
		streams := 0
		cfg := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/stream") {
				if streams++; streams <= 3 {
					ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
					defer cancel()
					r = r.WithContext(ctx)
				}
			}
			whole.ServeHTTP(w, r)
		}))
		cfg.Rate = 100
		if report := mustRun(t, cfg); !report.OK || report.Reconnects != 3 {
			t.Errorf("%+v", report)
		}
	})
}

func TestWhatCannotWorkIsSaid(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*fake, *Config)
		want   string
	}{
		"no votes":        {func(_ *fake, c *Config) { c.Votes = 0 }, "votes must be 1 to"},
		"negative rate":   {func(_ *fake, c *Config) { c.Rate = -1 }, "rate must be"},
		"no URL":          {func(_ *fake, c *Config) { c.URL = "" }, "the URL must be like"},
		"another scheme":  {func(_ *fake, c *Config) { c.URL = "ftp://popeye.test" }, "must begin with http://"},
		"unknown poll":    {func(_ *fake, c *Config) { c.Poll = "birds" }, `there is no poll "birds"`},
		"closed poll":     {func(f *fake, c *Config) { f.state, c.Poll = "closed", f.poll }, "takes no votes: it is closed"},
		"nothing open":    {func(f *fake, _ *Config) { f.state = "draft" }, "no poll is open"},
		"hidden result":   {func(f *fake, _ *Config) { f.hidden = true }, "is not shown to everybody"},
		"not a Popeye":    {func(_ *fake, c *Config) { c.URL = "http://popeye.test/elsewhere" }, "is this a Popeye?"},
		"votes not taken": {func(f *fake, _ *Config) { f.before = forbid }, "the server refuses votes: it answers 403"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("a", "b")
				cfg := f.serve(t)
				tt.change(f, &cfg)
				if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error is %v, want %q in it", err, tt.want)
				}
			})
		})
	}
}

func forbid(_ int, w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusForbidden)
	return true
}

func TestSeveralOpenPollsAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("a", "b")
		other := newFake("x", "y").definition()
		other["id"] = "birds"
		cfg := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			reply(w, map[string]any{"polls": []any{f.definition(), other}})
		}))
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "choose one: cats-dogs, birds") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestNobodyAtTheAddressIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := newFake("a", "b").serve(t)
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "cannot reach http://popeye.test") {
			t.Errorf("error is %v", err)
		}
	})
}
