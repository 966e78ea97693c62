package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

func TestVoterKeysAreReplacedWithoutLoggingAnyoneOut(t *testing.T) {
	t.Parallel()
	f := startFleet(t, labtest.Database(t), redisOf(t, 1)...)
	f.apply()
	v := f.poll.voter()
	f.poll.eventually("a vote is taken", func() bool { return v.cast("p", `{"choices":["a"]}`).status == http.StatusCreated })
	for _, keys := range []string{firstKey + "\n" + secondKey, secondKey + "\n" + firstKey + "\n"} {
		write(t, f.voterKeys, keys)
		next := f.startPoll()
		next.eventually("poll is ready", func() bool { return next.ready().status == http.StatusOK })
		v.base = next.base
		// Cookies do not mind the port.
		v.cast("p", `{"choices":["a"]}`).want(http.StatusOK)
		v.cast("p", `{"choices":["b"]}`).want(http.StatusConflict)
		f.cast(next, 1)
		f.poll.stop()
		f.poll = next
	}
	f.counted(3)
	// A round that begins now has the new key, and the same voters.
	f.organise("", "polls", "close", "p").want(0)
	f.result.eventually("the result is final", func() bool { return f.result.result("p").State == "final" })
	f.organise("", "polls", "open", "p").want(0, "open")
	write(t, f.voterKeys, secondKey)
	f.poll.eventually("the new round takes votes", func() bool { return v.cast("p", `{"choices":["b"]}`).status == http.StatusCreated })
	last := f.startPoll()
	last.eventually("poll is ready", func() bool { return last.ready().status == http.StatusOK })
	f.castOne(last, "b")
	f.counted(2)
}

func TestWhatCannotBeRecordedIsParkedAndTold(t *testing.T) {
	t.Parallel()
	servers := redisOf(t, 1)
	f := startFleet(t, labtest.Database(t), servers...)
	f.apply()
	f.castOne(f.poll, "a")
	f.organise("", "parked", "list").want(0, "ROUND  POLL")
	round := f.putUnrecordable(servers[0])
	f.result.eventually("it is parked", func() bool { return f.result.result("p").Ledger.Rejected == 1 })
	f.organise("", "parked", "list").want(0, fmt.Sprint(round), "p ")
	f.organise("", "parked", "list", "--json").want(0, `"votes": 1`)
	f.verified().want(0, "counted 1 votes in 1 rounds", "found 2 votes")
	f.organise("", "parked", "retry", fmt.Sprint(round)).want(0, "0 recorded, 1 stay parked")
	f.organise("", "parked", "drop", fmt.Sprint(round)).want(0, "1 dropped")
	f.organise("", "parked", "drop", fmt.Sprint(round)).want(0, "0 dropped")
	if got := f.result.result("p"); got.Ledger.Rejected != 1 || got.Total != 1 {
		t.Errorf("the result is %+v", got)
	}
}

// putUnrecordable puts a vote for an option that is none onto a queue server.
func (f *fleet) putUnrecordable(server *lab.Redis) (round int64) {
	f.t.Helper()
	round = f.published(server).Find("p").Round
	vote := popeye.Vote{Round: round, Voter: popeye.Voter{1}, Choices: 1 << 40, Stamp: 1}
	if _, err := f.server(server).Put(f.t.Context(), popeye.Cast{Vote: vote}, time.Minute); err != nil {
		f.t.Fatal(err)
	}
	return round
}

func TestDatabaseThatLostVotesIsFoundOutAndHealed(t *testing.T) {
	t.Parallel()
	database := labtest.Postgres(t, "fsync=off")
	f := startFleet(t, database.DSN("postgres"), redisOf(t, 1)...)
	f.apply()
	f.castOne(f.poll, "a")
	f.cast(f.poll, 9)
	f.counted(10)
	f.verified().want(0, "counted 10 votes in 1 rounds", "found 10 votes")

	exec := func(statement string) {
		t.Helper()
		if err := database.Exec(t.Context(), "postgres", statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("UPDATE tallies SET votes = votes + 1 WHERE option = 0")
	f.verified("--wait", "1s").want(1, "WRONG", "option 1", "7 noted, 6 found")
	exec("DELETE FROM votes")
	exec("UPDATE tallies SET votes = 0")
	exec("UPDATE ledgers SET total = 0, stored = 0")
	f.verified("--wait", "1s").want(1, "counted 0 votes", "WRONG  10 of them are neither recorded")
	f.command("replay", "--since", "1h", "--database", f.dsn, "--queue", f.queues[0]).
		want(0, "10 votes, of which 10 were missing and 0 are parked")
	f.counted(10)
	f.command("replay", "--since", "1h", "--database", f.dsn, "--queue", f.queues[0]).want(0, "of which 0 were missing")
	f.verified().want(0)
}

func TestClosedPollWhoseQueueIsLostIsDeclaredFinal(t *testing.T) {
	t.Parallel()
	servers := redisOf(t, 1)
	f := startFleet(t, labtest.Database(t), servers...)
	f.apply()
	f.castOne(f.poll, "a")
	f.counted(1)
	f.organise("", "polls", "finalise", "p").want(1, "Only a closed poll")
	labtest.Do(t, servers[0].Wipe)
	f.organise("", "polls", "close", "p").want(0, "provisional")
	f.organise("", "polls", "finalise", "p").want(0, "final", "incomplete")
	f.result.eventually("the result is final", func() bool { return f.result.result("p").State == "final" })
	if got := f.result.result("p"); got.Total != 1 {
		t.Errorf("the result is %+v", got)
	}
	labtest.Start(t, servers[0])
	f.poll.eventually("poll refuses", func() bool { return f.poll.voter().cast("p", `{"choices":["b"]}`).status == http.StatusGone })
	f.organise("", "polls", "finalise", "p").want(0, "final")
}

func TestToolsSayWhatIsAway(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	nowhere := "postgres://u:" + password + "@127.0.0.1:1/d"
	for _, line := range []string{
		"migrate --wait 0s --database " + nowhere,
		"verify --database " + nowhere,
		"replay --since 1h --queue redis://:" + password + "@127.0.0.1:1 --database " + nowhere,
	} {
		said := command(t, "", nil, strings.Fields(line)...).want(1, "127.0.0.1")
		if strings.Contains(said.said, password) || strings.Contains(said.said, url.QueryEscape(nowhere)) {
			t.Errorf("%q tells the password: %s", line, said.said)
		}
	}
	f := newFleet(t, labtest.Database(t))
	f.command("verify", "--database", f.dsn).want(1, "popeye migrate")
	f.command("migrate", "--database", f.dsn).want(0)
	f.command("verify", "--database", f.dsn).want(0, "counted 0 votes in 0 rounds")
	f.command("verify", "--database", f.dsn, "--queue", "redis://127.0.0.1:1").want(1, "127.0.0.1:1")
}
