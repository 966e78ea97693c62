package labtest_test

import (
	"testing"

	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestDatabasesAreEmptyAndApart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		dsn := labtest.Database(t)
		if seen[dsn] {
			t.Errorf("%s was given twice", dsn)
		}
		seen[dsn] = true
	}
}

func TestServersStartBesideEachOtherAndComeBack(t *testing.T) {
	t.Parallel()
	redis, postgres := labtest.Redis(t), labtest.Postgres(t, "fsync=off")
	labtest.Do(t, redis.Kill, postgres.Kill)
	labtest.Start(t, redis)
	labtest.Start(t, postgres)
	if err := postgres.Exec(t.Context(), "postgres", "SELECT 1"); err != nil {
		t.Error(err)
	}
	link := labtest.Link(t, redis.Addr())
	labtest.Do(t, redis.Pause, redis.Resume, link.Cut, link.Mend)
}

func TestProcessIsEndedWithItsTest(t *testing.T) {
	var p *lab.Process
	t.Run("a test that leaves one running", func(t *testing.T) {
		p = labtest.Process(t, lab.Command{Path: "sleep", Args: []string{"600"}})
		labtest.Start(t, p)
	})
	if p.Running() {
		t.Error("it still runs")
	}
}
