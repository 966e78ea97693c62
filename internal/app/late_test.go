package app_test

import (
	"regexp"
	"testing"
)

// A first vote that was held up on its way, in a second tab or in a process that
// slept, must not undo the vote that was cast meanwhile.
func TestLateCopyOfAFirstVoteUndoesNoChange(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(`,"policy":"change"`).want(201)
	v := h.voter()
	page := v.get("/p/p").want(200)
	after := regexp.MustCompile(`name="after" value="(\d+)"`).FindStringSubmatch(page.body)
	if after == nil {
		t.Fatalf("the form does not say that it shows no vote: %s", page.body)
	}
	v.form("/p/p", "vote=a&after="+after[1]).want(303)
	v.cast("p", `{"choices":["b"]}`).want(200)
	v.form("/p/p", "vote=a&after="+after[1]).want(409)
	if got := h.result("p"); got.Votes["b"] != 1 || got.Votes["a"] != 0 {
		t.Errorf("the result is %+v", got)
	}
}
