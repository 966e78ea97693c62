package app_test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

func TestRolesStartInAnyOrderAndSayWhatTheyWaitFor(t *testing.T) {
	t.Parallel()
	queue, database := labtest.Redis(t), labtest.Postgres(t, "fsync=off")
	labtest.Do(t, queue.Stop, database.Stop)
	f := newFleet(t, database.DSN("postgres"), queue)
	f.startAll()
	for name, h := range map[string]*house{"poll": f.poll, "worker": f.worker, "result": f.result, "admin": f.admin} {
		h.ready().want(http.StatusServiceUnavailable)
		if live := h.voterOps().get("/livez").want(http.StatusOK); live.body != "ok\n" {
			t.Errorf("%s lives like this: %q", name, live.body)
		}
		h.eventually(name+" says what it waits for", func() bool { return strings.Contains(h.log(), `"msg":"waiting"`) })
	}
	f.poll.voter().cast("p", `{"choices":["a"]}`).want(http.StatusServiceUnavailable)
	f.result.voter().get("/api/v1/results/p").want(http.StatusServiceUnavailable)

	labtest.Start(t, database)
	f.admin.eventually("admin asks for the schema", func() bool { return strings.Contains(f.admin.ready().body, "popeye migrate") })
	f.command("migrate", "--database", f.dsn).want(0, "up to date")
	f.command("migrate", "--database", f.dsn).want(0, "up to date")
	f.admin.eventually("admin is ready", func() bool { return f.admin.ready().status == http.StatusOK })
	f.organise(which, "polls", "apply", "-f", "-").want(0, "p: created, open")

	labtest.Start(t, queue)
	f.allReady()
	f.poll.eventually("poll knows the poll", func() bool { return f.poll.voter().get("/p/p").status == http.StatusOK })
	f.castOne(f.poll, "a")
	f.counted(1)
}

func (h *house) voterOps() *voter {
	h.t.Helper()
	v := h.voter()
	v.base = h.ops
	return v
}

func TestVoteGoesAllTheWayAndThePollBecomesFinal(t *testing.T) {
	t.Parallel()
	f := startFleet(t, labtest.Database(t), redisOf(t, 1)...)
	f.apply()
	second := f.startPoll()
	second.eventually("the second poll is ready", func() bool { return second.ready().status == http.StatusOK })

	f.castOne(f.poll, "a")
	receipt := fmt.Sprint(f.castOne(f.poll, "b").member("receipt"))
	f.cast(second, 8)
	f.counted(10)
	if found := f.result.voter().get("/api/v1/receipts/" + receipt).want(200); !strings.Contains(found.body, "counted") {
		t.Errorf("the receipt shows %s", found.body)
	}
	if frame := f.result.first("/api/v1/results/p/stream"); !strings.Contains(frame, `"total":10`) {
		t.Errorf("the stream begins with %q", frame)
	}

	f.organise("", "polls", "close", "p").want(0, "p: closed")
	for _, h := range []*house{f.poll, second} {
		h.eventually("poll refuses", func() bool { return h.voter().cast("p", `{"choices":["a"]}`).status == http.StatusGone })
	}
	f.result.eventually("the result is final", func() bool { return f.result.result("p").State == "final" })
	if got := f.result.result("p"); got.Total != 10 || got.Ledger.Accepted != 10 || got.Ledger.Queued != 0 {
		t.Errorf("the final result is %+v", got)
	}
	f.verified().want(0, "10 votes")
}

func TestThreeQueuesGoOnWithoutOne(t *testing.T) {
	t.Parallel()
	queues := redisOf(t, 3)
	labtest.Do(t, queues[1].Kill)
	f := startFleet(t, labtest.Database(t), queues...)
	f.apply()
	f.castOne(f.poll, "a")
	f.cast(f.poll, 20)
	f.counted(21)
	labtest.Start(t, queues[1])
	f.poll.eventually("poll has the server back", func() bool {
		return strings.Contains(f.poll.log(), `"queue server answers","place":"`+queues[1].Addr())
	})
	f.worker.eventually("the server knows the poll again", func() bool { return f.published(queues[1]).Find("p") != nil })
	labtest.Do(t, queues[0].Kill)
	f.poll.eventually("votes go on", func() bool {
		return f.poll.voter().cast("p", `{"choices":["b"]}`, "Idempotency-Key", "one").status/100 == 2
	})
	f.counted(22)
	labtest.Start(t, queues[0])
	f.organise("", "polls", "close", "p").want(0)
	f.result.eventually("the result is final", func() bool { return f.result.result("p").State == "final" })
	f.verified().want(0)
}

func TestVotingGoesOnWithoutTheDatabaseAndStopsWithoutTheQueue(t *testing.T) {
	t.Parallel()
	queue, database := labtest.Redis(t), labtest.Postgres(t)
	f := startFleet(t, database.DSN("postgres"), queue)
	f.apply()
	f.castOne(f.poll, "a")
	f.counted(1)
	labtest.Do(t, database.Kill)
	f.cast(f.poll, 10)
	f.worker.eventually("the worker is not ready", func() bool { return f.worker.ready().status == http.StatusServiceUnavailable })
	f.result.ready().want(200)
	f.result.voter().get("/api/v1/results/p").want(200) // as far as it is known

	labtest.Do(t, queue.Kill)
	f.poll.voter().cast("p", `{"choices":["a"]}`).want(http.StatusServiceUnavailable)
	f.poll.ready().want(200)
	labtest.Start(t, queue)
	labtest.Start(t, database)
	f.poll.eventually("voting goes on", func() bool {
		return f.poll.voter().cast("p", `{"choices":["a"]}`, "Idempotency-Key", "one").status/100 == 2
	})
	f.counted(12)
	f.allReady()
}

func TestWrongSettingsEndARoleWithTwo(t *testing.T) {
	t.Parallel()
	short := write(t, filepath.Join(t.TempDir(), "short"), "too short")
	empty := write(t, filepath.Join(t.TempDir(), "empty"), "\n")
	keys := write(t, filepath.Join(t.TempDir(), "keys"), firstKey)
	const database = "postgres://u:hunter2@127.0.0.1:1/d"
	for name, c := range map[string]struct {
		env   map[string]string
		args  string
		words string
	}{
		"poll with a database":     {map[string]string{"POPEYE_DATABASE": database}, "poll --queue redis://h --voter-key-file " + keys, "poll never reaches the database"},
		"poll without keys":        {nil, "poll --queue redis://h --voter-key-file /nowhere", "--voter-key-file"},
		"poll with a short key":    {nil, "poll --queue redis://h --voter-key-file " + short, "at least 32"},
		"poll with a short cookie": {nil, "poll --queue redis://h --voter-key-file " + keys + " --cookie-key-file " + short, "--cookie-key-file"},
		"too few copies":           {nil, "poll --queue redis://a,redis://b --queue-copies 1 --voter-key-file " + keys, "more than half"},
		"result with a queue":      {map[string]string{"POPEYE_QUEUE": "redis://h"}, "result --database " + database, "result never reaches the queue"},
		"result with bad keys":     {nil, "result --database " + database + " --cookie-key-file " + short, "--cookie-key-file"},
		"admin without a token":    {nil, "admin --database " + database + " --admin-token-file " + empty, "empty"},
		"worker with an address":   {map[string]string{"POPEYE_LISTEN": ":80"}, "worker --queue redis://h --database " + database, "nobody reaches the worker"},
		"no such option":           {nil, "result --database postgres://h/d?sslmode=perhaps", "database"},
		"nor in words":             {nil, "migrate --database port=none", "database"},
	} {
		said := command(t, "", c.env, strings.Fields(c.args)...)
		if said.code != 2 || !strings.Contains(said.said, c.words) || strings.Contains(said.said, "hunter2") {
			t.Errorf("%s: it ended with %d and said %s", name, said.code, said.said)
		}
	}
}

func TestAddressInUseIsSaid(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	const database = "postgres://127.0.0.1:1/d"
	command(t, "", nil, "result", "--database", database, "--listen", taken.Addr().String()).want(1, "in use", "--listen")
	command(t, "", nil, "worker", "--database", database, "--queue", "redis://127.0.0.1:1", "--ops-addr", taken.Addr().String()).
		want(1, "in use", "--ops-addr")
}

func TestUndurableQueueIsRefusedUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	queue := labtest.Redis(t, "--appendfsync", "everysec")
	f := newFleet(t, labtest.Database(t), queue)
	f.command("migrate", "--database", f.dsn).want(0)
	strict := f.startWorker()
	strict.eventually("the worker says what is wrong", func() bool { return strings.Contains(strict.log(), "appendfsync") })
	strict.ready().want(http.StatusServiceUnavailable)
	if code := strict.stop(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	env := f.queueEnv()
	env["POPEYE_DATABASE"], env["POPEYE_QUEUE_DURABILITY"] = f.dsn, "none"
	risky := startRole(t, env, "worker")
	risky.eventually("the worker is ready", func() bool { return risky.ready().status == http.StatusOK })
	if !strings.Contains(risky.log(), "may lose votes") {
		t.Errorf("it does not say what that costs: %s", risky.log())
	}
}

func TestHealthAsksTheRole(t *testing.T) {
	t.Parallel()
	h := start(t, t.TempDir())
	addr := strings.TrimPrefix(h.ops, "http://")
	command(t, "", map[string]string{"POPEYE_OPS_ADDR": addr}, "health").want(0, "ok")
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	command(t, "", nil, "health", "--live", "--ops-addr", ":"+port).want(0, "ok")
	waiting := startRole(t, nil, "result", "--listen", "127.0.0.1:0", "--database", lab.PostgresDSN("127.0.0.1:1", "u", "d"))
	at := strings.TrimPrefix(waiting.ops, "http://")
	command(t, "", nil, "health", "--ops-addr", at).want(1, "503", "database")
	command(t, "", nil, "health", "--live", "--ops-addr", at).want(0)
	waiting.stop()
	command(t, "", nil, "health", "--ops-addr", at).want(1, "nobody answers")
}

func TestPollSaysWhenItLacksARoundsKey(t *testing.T) {
	t.Parallel()
	f := startFleet(t, labtest.Database(t), redisOf(t, 1)...)
	f.apply()
	f.castOne(f.poll, "a")
	write(t, f.voterKeys, secondKey)
	other := f.startPoll()
	other.eventually("it says what it lacks", func() bool { return strings.Contains(other.log(), "--voter-key-file") })
	other.voter().cast("p", `{"choices":["a"]}`).want(http.StatusServiceUnavailable)
	if strings.Contains(other.log(), secondKey) || strings.Contains(other.log(), firstKey) {
		t.Error("the log shows a key")
	}
}
