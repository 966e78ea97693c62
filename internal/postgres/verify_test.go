package postgres

import (
	"slices"
	"testing"

	"popeye"
)

func TestVerifyFindsEveryCountThatIsWrong(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	createPoll(t, s, "empty", popeye.First)
	d := createPoll(t, s, "p", popeye.Change)
	votes := newVotes(d, 0, 100)
	record(t, s, votes...)
	votes[0].Choices, votes[0].Stamp, votes[0].Serial = 2, votes[0].Stamp+1, 3
	record(t, s, votes[0])
	if _, err := s.Park(t.Context(), []popeye.Parked{{Vote: newVotes(d, 1000, 1)[0], Reason: "test"}}); err != nil {
		t.Fatal(err)
	}
	var done, total int64
	report, err := s.Verify(t.Context(), func(d, t int64) { done, total = d, t })
	if err != nil || report.Rounds != 2 || report.Votes != 100 || len(report.Faults) != 0 || done != 100 || total != 100 {
		t.Fatalf("Verify = %+v, %v after %d of %d; want 100 votes in 2 rounds and no faults", report, err, done, total)
	}
	for tamper, want := range map[string]Fault{
		"UPDATE tallies SET votes = votes + 1 WHERE round = $1 AND option = 1": {What: "votes for option 2", Counted: 2, Found: 1},
		"UPDATE ledgers SET total = total - 1 WHERE round = $1":                {What: "voters", Counted: 99, Found: 100},
		"UPDATE ledgers SET stored = stored + 5 WHERE round = $1":              {What: "stored votes", Counted: 107, Found: 102},
		"UPDATE ledgers SET rejected = 0 WHERE round = $1":                     {What: "parked votes", Counted: 0, Found: 1},
		"DELETE FROM votes WHERE round = $1 AND prev IS NOT NULL":              {What: "voters", Counted: 100, Found: 99},
	} {
		tampered := openAt(t, copyOf(t, s, s.pool.Config().ConnString()))
		if _, err := tampered.pool.Exec(t.Context(), tamper, d.Round); err != nil {
			t.Fatal(err)
		}
		want.Poll, want.Round = "p", d.Round
		if report, err := tampered.Verify(t.Context(), func(int64, int64) {}); err != nil || !slices.Contains(report.Faults, want) {
			t.Errorf("after %s, Verify = %+v, %v; want %+v", tamper, report.Faults, err, want)
		}
	}
}

func TestMissingTellsWhichVotesLeftNoTrace(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d, e, gone := createPoll(t, s, "p", popeye.First), createPoll(t, s, "q", popeye.Change), createPoll(t, s, "r", popeye.First)
	recorded, changed := newVotes(d, 0, 10), newVotes(e, 0, 10)
	record(t, s, recorded...)
	changed[0].Stamp += 5
	record(t, s, changed...)
	unconfirmed := newVotes(d, 10, 1)[0]
	unconfirmed.Unconfirmed = true
	record(t, s, unconfirmed)
	parked := newVotes(d, 20, 1)[0]
	if _, err := s.Park(t.Context(), []popeye.Parked{{Vote: parked, Reason: "test"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	with := func(v popeye.Vote, change func(*popeye.Vote)) popeye.Vote { change(&v); return v }
	here := append(append(slices.Clone(recorded), changed...), unconfirmed, parked,
		newVotes(gone, 0, 1)[0],
		with(recorded[1], func(v *popeye.Vote) { v.Stamp++ }),    // after the first
		with(changed[0], func(v *popeye.Vote) { v.Stamp-- }),     // before the last
		with(unconfirmed, func(v *popeye.Vote) { v.Stamp++ }),    // not confirmed either
		with(recorded[2], func(v *popeye.Vote) { v.Serial = 7 }), // of another queue server
		with(unconfirmed, func(v *popeye.Vote) { v.Serial = 1 }), // the same
		with(recorded[3], func(v *popeye.Vote) { v.Unconfirmed = true }),
	)
	missing := []popeye.Vote{
		newVotes(d, 30, 1)[0],
		with(changed[0], func(v *popeye.Vote) { v.Stamp++ }),
		with(unconfirmed, func(v *popeye.Vote) { v.Unconfirmed, v.Stamp = false, v.Stamp+1 }),
		with(parked, func(v *popeye.Vote) { v.Stamp++ }),
		with(recorded[0], func(v *popeye.Vote) { v.Round += 1000 }), // of a round that is lost
	}
	got, err := s.Missing(t.Context(), append(append(slices.Clone(missing[:2]), here...), missing[2:]...))
	if err != nil || !slices.Equal(got, missing) {
		t.Errorf("Missing = %+v, %v; want %+v", got, err, missing)
	}
}
