package poll

import (
	"net/http"
	"strconv"

	"popeye"
	"popeye/internal/voter"
	"popeye/internal/web"
)

// home is GET /: the page of the only open poll, or the list of all.
func (p *Poll) home(w http.ResponseWriter, r *http.Request) error {
	catalog := p.cfg.Queue.Catalog()
	if catalog == nil {
		return p.waiting()
	}
	if open := catalog.OpenAt(p.cfg.Now()); len(open) == 1 {
		return p.showPage(w, r, open[0])
	}
	view := web.ListView{Assets: assets}
	for _, d := range catalog.All() {
		view.Polls = append(view.Polls, web.ListItem{
			ID: d.ID, Question: d.Question, State: d.StateAt(p.cfg.Now()), Opens: d.Opens, Closes: d.Closes,
			URL: "/p/" + d.ID, ResultURL: p.resultURL(d),
		})
	}
	p.cfg.Pages.List(w, http.StatusOK, view)
	return nil
}

// page is GET /p/{poll}.
func (p *Poll) page(w http.ResponseWriter, r *http.Request) error {
	d, err := p.find(r)
	if err != nil {
		return err
	}
	return p.showPage(w, r, d)
}

// showPage shows the voting page to a browser, which from now on knows its
// voter.
func (p *Poll) showPage(w http.ResponseWriter, r *http.Request, d *popeye.Definition) error {
	who, err := p.cfg.Voters.Identify(r, d, "")
	if err != nil {
		return p.refusal(d, err)
	}
	p.cfg.Voters.SetCookie(w, r, who)
	view := p.view(d, who)
	name, err := p.cfg.Voters.Pseudonym(d, who.ID)
	switch {
	case err == nil:
		p.showVote(w, r, &view, name)
	case view.State == popeye.Open && d.VoterKey != "":
		return err
	default: // the key of a poll that is over may be gone, one that has just begun has no votes
	}
	p.cfg.Pages.Vote(w, http.StatusOK, view)
	return nil
}

// showVote adds the voter's vote to the page, if there is one.
func (p *Poll) showVote(w http.ResponseWriter, r *http.Request, view *web.VoteView, name popeye.Voter) {
	d := &view.Poll
	mark, voted, err := p.cfg.Queue.Mark(r.Context(), d.Round, name)
	if err != nil {
		view.Notice = "We cannot tell now whether you have voted already. You may vote: it never counts twice."
		return
	}
	if !voted {
		view.After = popeye.NoVote
		return
	}
	if mark.Unconfirmed && view.State == popeye.Open {
		view.Notice = "You have tried to vote, and it was never confirmed: it may count, or not. Cast your vote again to be sure. It never counts twice."
		view.Selected, view.After = ids(d, mark), mark.Stamp
		return
	}
	p.showRecorded(view, d, name, mark)
	if d.Results == popeye.AfterVote {
		p.cfg.Voters.GrantPass(w, r, d)
	}
}

// view is the page for a voter of whom no vote is known.
func (p *Poll) view(d *popeye.Definition, who voter.Identity) web.VoteView {
	now := p.cfg.Now()
	view := web.VoteView{
		Assets: assets, Poll: *d, State: d.StateAt(now), Now: now,
		Token: p.cfg.Voters.Token(d, who.ID), Action: "/p/" + d.ID, Changeable: d.Policy == popeye.Change,
	}
	view.ResultURL = p.resultURL(d)
	return view
}

// resultURL returns the address of the result if it may be shown to anybody.
func (p *Poll) resultURL(d *popeye.Definition) string {
	if d.IsPublic(p.cfg.Now()) {
		return "/r/" + d.ID
	}
	return ""
}

// showRecorded adds the vote that stands to the page.
func (p *Poll) showRecorded(view *web.VoteView, d *popeye.Definition, name popeye.Voter, m popeye.Mark) {
	view.Recorded = d.Chosen(m.Choices)
	view.Receipt, view.ReceiptURL = name.Receipt(), "/r/"+d.ID+"/receipts"
	view.Counted = p.cfg.Counted || d.State == popeye.Final && !d.Incomplete
	view.After = m.Stamp
	if d.Results != popeye.AfterClose {
		view.ResultURL = "/r/" + d.ID
	}
}

// castForm is POST /p/{poll}.
func (p *Poll) castForm(w http.ResponseWriter, r *http.Request) error {
	b, err := p.readBallot(w, r)
	if err != nil {
		return err
	}
	d, err := p.find(r)
	if err != nil {
		return err
	}
	return p.castBallot(w, r, d, b)
}

// castHome is POST /: a vote in the only open poll, as the clients of the
// classic example voting app send it.
func (p *Poll) castHome(w http.ResponseWriter, r *http.Request) error {
	b, err := p.readBallot(w, r)
	if err != nil {
		return err
	}
	d, err := p.only()
	if err != nil {
		return err
	}
	return p.castBallot(w, r, d, b)
}

// only returns the only open poll or, when none is open, the only poll.
func (p *Poll) only() (*popeye.Definition, error) {
	catalog := p.cfg.Queue.Catalog()
	open, all := catalog.OpenAt(p.cfg.Now()), catalog.All()
	switch {
	case catalog == nil:
		return nil, p.waiting()
	case len(open) == 1:
		return open[0], nil
	case len(open) > 1:
		return nil, web.NewProblem(http.StatusConflict, "More than one poll is open. Vote at the address of the one that you mean.")
	case len(all) == 1:
		return all[0], nil
	case len(all) > 1:
		return nil, popeye.ErrClosed
	default:
		return nil, popeye.ErrNotFound
	}
}

// readBallot reads a form: its fields vote, voter and after.
func (p *Poll) readBallot(w http.ResponseWriter, r *http.Request) (ballot, error) {
	if err := p.admit(r); err != nil {
		return ballot{}, err
	}
	form, err := web.ReadForm(w, r)
	if err != nil {
		return ballot{}, err
	}
	b := ballot{choices: form["vote"], token: form.Get("voter")}
	if after := form.Get("after"); after != "" {
		stamp, err := strconv.ParseInt(after, 10, 64)
		if err != nil {
			return ballot{}, web.NewProblem(http.StatusBadRequest, "The field after is not the stamp of a vote.")
		}
		b.after = popeye.Stamp(stamp)
	}
	return b, nil
}

// castBallot casts and redirects to the page that shows the vote. When another
// vote stands, or none, it shows the page with the reason instead.
func (p *Poll) castBallot(w http.ResponseWriter, r *http.Request, d *popeye.Definition, b ballot) error {
	v, err := p.cast(w, r, d, b)
	if err != nil {
		err = p.refusal(d, err)
	}
	p.count(v, err)
	switch {
	case err != nil:
	case v.outcome.Stands():
		w.Header().Set("Cache-Control", "private, no-store")
		w.Header().Set("Location", "/p/"+d.ID)
		w.WriteHeader(http.StatusSeeOther)
		return nil
	default:
		err = otherStands(d, v)
	}
	problem := web.ProblemOf(err)
	if v.who.Source == "" || problem.Status >= http.StatusInternalServerError {
		return err
	}
	view := p.view(d, v.who)
	view.Notice, view.Selected = problem.Detail, b.choices
	if v.outcome != "" {
		p.showRecorded(&view, d, v.voter, v.mark)
	}
	p.cfg.Pages.Vote(w, problem.Status, view)
	return nil
}
