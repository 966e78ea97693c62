package popeye_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"popeye"
)

func catsDogs() popeye.Poll {
	return popeye.Poll{
		ID: "cats-dogs", Question: "Cats or dogs?",
		Options: []popeye.Option{{ID: "a", Label: "Cats"}, {ID: "b"}, {ID: "c"}},
	}
}

func TestDefaultsMakeAValidPoll(t *testing.T) {
	p := catsDogs().WithDefaults()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if p.Kind != popeye.Single || p.Policy != popeye.First || p.Results != popeye.Always || p.Integrity != popeye.Browser {
		t.Errorf("defaults are %+v", p)
	}
	if p.Min != 1 || p.Max != 1 || p.Options[1].Label != "b" {
		t.Errorf("defaults are %+v", p)
	}
	multiple := catsDogs()
	multiple.Kind = popeye.Multiple
	if p := multiple.WithDefaults(); p.Min != 1 || p.Max != 3 {
		t.Errorf("kind multiple allows %d to %d of 3 options", p.Min, p.Max)
	}
}

func TestDefaultsLeaveTheirInputAlone(t *testing.T) {
	p := catsDogs()
	p.WithDefaults()
	if p.Options[1].Label != "" {
		t.Error("WithDefaults wrote into the options that it was given")
	}
}

func TestInvalidPollsNameTheFieldAtFault(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		field string
		spoil func(*popeye.Poll)
	}{
		"no id":               {"id", func(p *popeye.Poll) { p.ID = "" }},
		"upper case":          {"id", func(p *popeye.Poll) { p.ID = "Cats" }},
		"outer hyphen":        {"id", func(p *popeye.Poll) { p.ID = "cats-" }},
		"long id":             {"id", func(p *popeye.Poll) { p.ID = strings.Repeat("a", 65) }},
		"a path":              {"id", func(p *popeye.Poll) { p.ID = "a/../b" }},
		"no question":         {"question", func(p *popeye.Poll) { p.Question = " " }},
		"long question":       {"question", func(p *popeye.Poll) { p.Question = strings.Repeat("é", 301) }},
		"NUL in question":     {"question", func(p *popeye.Poll) { p.Question = "a\x00b" }},
		"bad UTF-8":           {"question", func(p *popeye.Poll) { p.Question = "a\xff" }},
		"one option":          {"options", func(p *popeye.Poll) { p.Options = p.Options[:1] }},
		"65 options":          {"options", func(p *popeye.Poll) { p.Options = make([]popeye.Option, 65) }},
		"option without id":   {"options[1].id", func(p *popeye.Poll) { p.Options[1].ID = "" }},
		"option with a space": {"options[1].id", func(p *popeye.Poll) { p.Options[1].ID = "a b" }},
		"option twice":        {"options[2].id", func(p *popeye.Poll) { p.Options[2].ID = "a" }},
		"blank label":         {"options[0].label", func(p *popeye.Poll) { p.Options[0].Label = " " }},
		"long label":          {"options[0].label", func(p *popeye.Poll) { p.Options[0].Label = strings.Repeat("x", 121) }},
		"colour by name":      {"options[0].color", func(p *popeye.Poll) { p.Options[0].Color = "red" }},
		"style in a colour":   {"options[0].color", func(p *popeye.Poll) { p.Options[0].Color = "#f00;x:" }},
		"foreign picture":     {"options[0].picture", func(p *popeye.Poll) { p.Options[0].Picture = "https://example.com/a.png" }},
		"foreign host":        {"options[0].picture", func(p *popeye.Poll) { p.Options[0].Picture = "//example.com/a.png" }},
		"script picture":      {"options[0].picture", func(p *popeye.Poll) { p.Options[0].Picture = "javascript:1" }},
		"kind":                {"kind", func(p *popeye.Poll) { p.Kind = "some" }},
		"single with max":     {"kind", func(p *popeye.Poll) { p.Max = 2 }},
		"min too large":       {"min", func(p *popeye.Poll) { p.Kind, p.Min = popeye.Multiple, 4 }},
		"max below min":       {"max", func(p *popeye.Poll) { p.Kind, p.Min, p.Max = popeye.Multiple, 2, 1 }},
		"policy":              {"policy", func(p *popeye.Poll) { p.Policy = "last" }},
		"results":             {"results", func(p *popeye.Poll) { p.Results = "never" }},
		"integrity to come":   {"integrity", func(p *popeye.Poll) { p.Integrity = popeye.Code }},
		"year 10000 in UTC":   {"closes", func(p *popeye.Poll) { p.Closes = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200)) }},
		"large pictures":      {"options", func(p *popeye.Poll) { p.Options = manyPictures() }},
		"closes before opens": {"closes", func(p *popeye.Poll) { p.Opens, p.Closes = now, now }},
	} {
		p := catsDogs()
		c.spoil(&p)
		var invalid *popeye.InvalidError
		if err := p.WithDefaults().Validate(); !errors.As(err, &invalid) || invalid.Field != c.field {
			t.Errorf("%s: got %v, want a fault of %s", name, err, c.field)
		}
	}
}

// manyPictures returns options whose pictures are allowed, each for itself.
func manyPictures() []popeye.Option {
	var options []popeye.Option
	for i := range popeye.MaxOptions {
		options = append(options, popeye.Option{ID: strconv.Itoa(i), Picture: "data:image/png;base64," + strings.Repeat("A", 2000)})
	}
	return options
}

func TestVotesMeanTheSameUnlessTheBallotChanges(t *testing.T) {
	p := catsDogs().WithDefaults()
	q := catsDogs().WithDefaults()
	q.Question, q.Results, q.Closes = "Pets?", popeye.AfterVote, time.Now()
	q.Options[0].Label = "Kittens"
	if !p.SameBallot(q) {
		t.Error("texts and times make another ballot")
	}
	for name, change := range map[string]func(*popeye.Poll){
		"order":  func(q *popeye.Poll) { q.Options[0], q.Options[1] = q.Options[1], q.Options[0] },
		"fewer":  func(q *popeye.Poll) { q.Options = q.Options[:2] },
		"policy": func(q *popeye.Poll) { q.Policy = popeye.Change },
		"kind":   func(q *popeye.Poll) { q.Kind, q.Max = popeye.Multiple, 2 },
	} {
		q := catsDogs().WithDefaults()
		change(&q)
		if p.SameBallot(q) {
			t.Errorf("%s: taken for the same ballot", name)
		}
	}
}

func TestStateFollowsTheClock(t *testing.T) {
	opens := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	d := popeye.Definition{State: popeye.Open}
	d.Opens, d.Closes = opens, opens.Add(time.Hour)
	for _, c := range []struct {
		at   time.Time
		want popeye.State
	}{
		{opens.Add(-1), popeye.Draft},
		{opens, popeye.Open},
		{d.Closes.Add(-1), popeye.Open},
		{d.Closes, popeye.Closed},
	} {
		if got := d.StateAt(c.at); got != c.want {
			t.Errorf("at %s: %s, want %s", c.at, got, c.want)
		}
	}
	d.State = popeye.Final
	if got := d.StateAt(opens); got != popeye.Final {
		t.Errorf("a final round is %s within its times", got)
	}
}

func TestCatalogFindsAndSorts(t *testing.T) {
	define := func(id string, s popeye.State) popeye.Definition {
		return popeye.Definition{Poll: popeye.Poll{ID: id}, State: s}
	}
	c := popeye.NewCatalog(1, []popeye.Definition{define("b", popeye.Open), define("a", popeye.Closed)})
	if d := c.Find("b"); d == nil || d.ID != "b" {
		t.Errorf("found %v", d)
	}
	if c.Find("z") != nil || c.All()[0].ID != "a" || len(c.All()) != 2 {
		t.Errorf("catalog is %v", c.All())
	}
	if open := c.OpenAt(time.Now()); len(open) != 1 || open[0].ID != "b" {
		t.Errorf("open are %v", open)
	}
	var none *popeye.Catalog
	if none.Find("a") != nil || none.All() != nil || none.OpenAt(time.Now()) != nil {
		t.Error("a nil catalog is not empty")
	}
}
