package e2e

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

func TestFirstStartThatIsKilledIsMadeUpForByTheNext(t *testing.T) {
	t.Parallel()
	for range 10 {
		l := launch{binary: plainBinary, data: t.TempDir()}
		for range 3 {
			p := l.spawn(t)
			select {
			case <-time.After(rand.N(40 * time.Millisecond)):
			case <-p.log.serving:
			}
			p.kill()
		}
		p := l.start(t)
		p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
		p.organiser().polls("list").want(0, "cats-dogs open")
		p.stop()
	}
}

func TestOfTwoFirstStartsAtOnceOneServesAndKeepsItsKeys(t *testing.T) {
	t.Parallel()
	for range 5 {
		l := launch{binary: plainBinary, data: t.TempDir()}
		one, other := l.spawn(t), l.spawn(t)
		winner, loser := one, other
		select {
		case <-one.exited:
			winner, loser = other, one
		case <-other.exited:
		case <-time.After(patience):
			t.Fatal("two processes serve one data folder")
		}
		loser.ending().want(1, l.data, "in use")
		winner.waitUntilServing()
		v := winner.visitor()
		v.cast("cats-dogs", "a").wants(t, http.StatusCreated)
		winner.organiser().polls("list").want(0, "cats-dogs")
		winner.stop()

		again := l.start(t)
		v.base = again.base
		v.cast("cats-dogs", "b").wants(t, http.StatusConflict) // the cookie is still known
		again.organiser().polls("list").want(0, "cats-dogs")
		again.stop()
	}
}
