package load

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
)

// ballot knows what the votes of a run say.
type ballot struct {
	// head is what every cast begins with, up to its voter.
	head string
	// run makes the run's voters different from those of any other.
	run string
	// bodies are the requests' bodies, by the first option chosen, and chosen the
	// positions of all options in them.
	bodies []string
	chosen [][]int
	// draw has the first option of a vote, drawn by its number.
	draw []int
}

func newBallot(t *target, p pollInfo) *ballot {
	b := &ballot{
		head: "POST " + t.prefix + "/api/v1/votes/" + url.PathEscape(p.ID) + " HTTP/1.1\r\nHost: " + t.host +
			"\r\nUser-Agent: popeye-load\r\nContent-Type: application/json\r\n",
		run: newRunName(),
	}
	options := len(p.Options)
	for first := range options {
		var ids []string
		var chosen []int
		for i := range max(p.Min, 1) {
			option := (first + i) % options
			chosen = append(chosen, option)
			ids = append(ids, p.Options[option].ID)
		}
		b.chosen = append(b.chosen, chosen)
		b.bodies = append(b.bodies, body(ids))
		// The first option is drawn most often and the last least: no two counts
		// are the same, so that votes for the wrong option are noticed.
		for range options - first {
			b.draw = append(b.draw, first)
		}
	}
	return b
}

func newRunName() string {
	var random [12]byte
	rand.Read(random[:])
	return hex.EncodeToString(random[:])
}

func body(ids []string) string {
	text, err := json.Marshal(map[string][]string{"choices": ids})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return string(text)
}

// first returns the first option of vote i: always the same, and spread over
// the options without a period that others could share (Fibonacci hashing).
func (b *ballot) first(i int) int {
	const golden = 0x9E3779B97F4A7C15
	return b.draw[uint64(i)*golden>>32%uint64(len(b.draw))]
}

// options returns the positions of the options that vote i names.
func (b *ballot) options(i int) []int { return b.chosen[b.first(i)] }

// appendRequest appends the request that casts vote i. It is the same each
// time, so that a repetition is recognised by its key.
func (b *ballot) appendRequest(to []byte, i int) []byte {
	text := b.bodies[b.first(i)]
	to = append(to, b.head...)
	to = append(to, "Idempotency-Key: "...)
	to = append(to, b.run...)
	to = append(to, '-')
	to = strconv.AppendInt(to, int64(i), 10)
	to = append(to, "\r\nContent-Length: "...)
	to = strconv.AppendInt(to, int64(len(text)), 10)
	to = append(to, "\r\n\r\n"...)
	return append(to, text...)
}
