package e2e

import (
	"net/http"
	"testing"
)

func TestVoteMovesTheResultOnAnotherScreenWithoutReloading(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	screen := person(t).open(p.base + "/r/cats-dogs")
	screen.reads("#pill", "live")
	screen.sees("nothing is counted", `!document.getElementById("none").hidden && document.getElementById("some").hidden`)
	screen.sees("no side leads", `[...document.querySelectorAll("#rows .share")].every((e) => e.textContent === "–")`)
	screen.sees("the page is marked", `window.untouched = true`)

	voter := person(t).open(p.base + "/p/cats-dogs")
	voter.reads("h1", "Cats or dogs?")
	voter.click(`input[name="vote"][value="a"]`)
	voter.click(`form.ballot [type="submit"]`)
	voter.reads(".stub .chosen .label", "Cats")
	voter.reads(".stub h2", "Aye! Your vote is counted.")
	voter.sees("there is a receipt", `document.getElementById("receipt").textContent.length > 8`)

	screen.reads("#total", "1")
	screen.reads(`#rows [data-id="a"] .votes`, "1")
	screen.reads(`#rows [data-id="a"] .share`, "100%")
	screen.sees("the bar is full", width("a", "> 0.99"))
	screen.sees("the other bar is empty", width("b", "< 0.01"))

	p.visitor().cast("cats-dogs", "b").wants(t, http.StatusCreated)
	p.visitor().cast("cats-dogs", "b").wants(t, http.StatusCreated)
	screen.reads("#total", "3")
	screen.reads(`#rows [data-id="b"] .share`, "66.7%")
	screen.sees("the bar has moved", width("b", "> 0.6")+"&&"+width("a", "< 0.4"))
	screen.sees("it was never loaded anew", `window.untouched === true`)
	screen.sees("a screen reader is told", `/Dogs 66.7%, Cats 33.3%\. 3 votes/.test(document.getElementById("live").textContent)`)

	voter.click(`.way a[href="/r/cats-dogs"]`)
	voter.reads("#total", "3")
	voter.open(p.base + "/p/cats-dogs")
	voter.reads(".stub .chosen .label", "Cats")
	voter.sees("there is no second ballot", `!document.querySelector("form.ballot")`)
}

// width is an expression about how much of its place an option's bar fills, as
// it is drawn.
func width(option, is string) string {
	bar := `document.querySelector('#rows [data-id="` + option + `"] .bar `
	return "(" + bar + "rect').getBoundingClientRect().width / " + bar + "svg').getBoundingClientRect().width " + is + ")"
}

func TestChangedVoteMovesOnAnotherScreen(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.admin(http.MethodPost, "", `{"id":"p","question":"Which?","policy":"change","options":[{"id":"a"},{"id":"b"},{"id":"c"}]}`).wants(t, http.StatusCreated)
	screen := person(t).open(p.base + "/r/p")
	voter := person(t).open(p.base + "/p/p")
	voter.click(`input[value="a"]`)
	voter.click(`form.ballot [type="submit"]`)
	voter.reads(".stub .chosen .label", "a")
	screen.reads(`[data-id="a"] .votes`, "1")
	voter.click(`details.again summary`)
	voter.click(`input[value="c"]`)
	voter.click(`form.ballot [type="submit"]`)
	voter.reads(".stub .chosen .label", "c")
	screen.reads(`[data-id="c"] .votes`, "1")
	screen.reads(`[data-id="a"] .votes`, "0")
	screen.reads("#total", "1")
}

func TestVotingAndReadingTheResultNeedNoJavaScript(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	reader := person(t).withoutScripts().open(p.base + "/")
	reader.reads("h1", "Cats or dogs?")
	reader.click(`input[name="vote"][value="b"]`)
	reader.click(`form.ballot [type="submit"]`)
	reader.reads(".stub .chosen .label", "Dogs")
	reader.click(`.way a[href="/r/cats-dogs"]`)
	reader.reads("#total", "1")
	reader.reads(`[data-id="b"] .share`, "100%")
	reader.sees("the bar is drawn", width("b", "> 0.99"))
	reader.sees("the page says that it does not move", `document.querySelector("noscript").getBoundingClientRect().height > 0`)
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	reader.reload()
	reader.reads("#total", "2")
	reader.reads(`[data-id="a"] .share`, "50.0%")
	reader.open(p.base + "/p/cats-dogs")
	reader.reads(".stub .chosen .label", "Dogs")
}

func TestOpenResultPageShowsThatThePollIsFinal(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	screen := person(t).open(p.base + "/r/cats-dogs")
	waiting := person(t).open(p.base + "/p/cats-dogs")
	screen.reads("#pill", "live")
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	p.organiser().polls("close", "cats-dogs").want(0)
	screen.reads("#pill", "final")
	screen.reads("#total", "1")
	screen.sees("the way to the ballot is gone", `document.getElementById("invite").hidden`)
	waiting.reload()
	waiting.sees("the ballot is gone", `!document.querySelector("form.ballot") && /Voting is over/.test(document.body.textContent)`)
}

func TestOpenResultPageComesBackByItselfAfterAKill(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	screen := person(t).open(p.base + "/r/cats-dogs")
	screen.reads("#pill", "live")
	screen.reads("#total", "1")
	screen.sees("the page is marked", `window.untouched = true`)
	screen.forgives = "net::ERR_" // while Popeye is away
	p.kill()
	screen.reads("#pill", "reconnecting")
	screen.reads("#total", "1")
	p = launch{data: p.data, listen: p.port()}.start(t)
	p.visitor().cast("cats-dogs", "b").wants(t, http.StatusCreated)
	screen.reads("#pill", "live")
	screen.reads("#total", "2")
	screen.reads(`[data-id="b"] .share`, "50.0%")
	screen.sees("it was never loaded anew", `window.untouched === true`)
}

func TestPagesAreNamedAndLabelledForThoseWhoDoNotSeeThem(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.admin(http.MethodPost, "", `{"id":"p","question":"Which ones?","kind":"multiple","options":[{"id":"a"},{"id":"b","emoji":"🐝"},{"id":"c"}]}`).wants(t, http.StatusCreated)
	reader := person(t)
	for _, page := range []struct {
		path, role string
		things     int
	}{
		{"/", "listitem", 2},
		{"/p/cats-dogs", "radio", 2},
		{"/p/p", "checkbox", 3},
		{"/r/cats-dogs", "rowheader", 2},
		{"/r/p", "rowheader", 3},
	} {
		reader.open(p.base + page.path)
		reader.sees("there is one main heading", `document.querySelectorAll("h1").length === 1`)
		reader.sees("the language is named", `document.documentElement.lang === "en"`)
		reader.sees("the page has a title of its own", `document.title.length > 8`)
		reader.sees("there is one main part", `document.querySelectorAll("main").length === 1`)
		reader.tells(page.path, page.role, page.things)
	}
	reader.open(p.base + "/p/p")
	reader.sees("the options are a group with a name", `document.querySelector("form.ballot fieldset > legend").textContent.trim() !== ""`)
	reader.sees("each option has a label", `[...document.querySelectorAll("form.ballot input:not([type=hidden])")].every((i) => i.labels.length === 1)`)
	reader.open(p.base + "/r/cats-dogs")
	reader.sees("what changes is told", `document.querySelector("#live[aria-live=polite][role=status]")`)
	reader.sees("the result is a table", `document.querySelectorAll("table thead th[scope=col]").length === 3 && document.querySelectorAll("#rows th[scope=row]").length === 2`)
	// By keyboard alone.
	reader.open(p.base + "/p/cats-dogs")
	reader.press(`input[value="a"]`, " ")
	reader.press(`form.ballot [type="submit"]`, "\r")
	reader.reads(".stub .chosen .label", "Cats")
}
