package redis

import (
	"crypto/sha256"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"popeye"
)

// formats are those of entries that can be read, a byte each.
const formats = "\x01"

// entry is what one run of the cast script has taken: votes that are delivered
// and acknowledged one by one, but by Redis only all at once.
type entry struct {
	position string
	value    string
}

// entriesOf are entries as Redis lists them. Fields that are not known are passed
// over.
func entriesOf(found []rueidis.XRangeEntry) []entry {
	entries := make([]entry, len(found))
	for i, f := range found {
		entries[i] = entry{position: f.ID, value: f.FieldValues[fieldVotes]}
	}
	return entries
}

// isReadable reports whether an entry is in a format that can be read. One that
// is not may hold votes for a newer worker.
func (e entry) isReadable() bool { return e.value != "" && strings.IndexByte(formats, e.value[0]) >= 0 }

// deliveries appends what a readable entry holds. What is not written as it
// should be becomes a vote in round 0, which no store can record, so that it is
// parked and holds up nobody: its voter is made from its bytes.
func (e entry) deliveries(ds []popeye.Delivery) []popeye.Delivery {
	first := len(ds)
	rest := e.value[min(2, len(e.value)):]
	for rest != "" {
		var ok bool
		if ds, rest, ok = appendGroup(ds, rest); !ok {
			ds = append(ds, popeye.Delivery{Vote: e.remains(rest)})
			break
		}
	}
	if len(ds) == first { // it holds nothing, and would never be acknowledged
		ds = append(ds, popeye.Delivery{Vote: e.remains("")})
	}
	e.name(ds[first:])
	return ds
}

// appendGroup appends the votes of the next round. It returns what is behind
// them, or where they are not written as they should be, what is left of them.
func appendGroup(ds []popeye.Delivery, text string) (_ []popeye.Delivery, rest string, ok bool) {
	if len(text) < 9 {
		return ds, text, false
	}
	round, count, rest := int64(number(text[:8])), int(text[8]), text[9:]
	for range count {
		if rest == "" || len(rest) < 1+int(rest[0]) {
			return ds, rest, false
		}
		record := rest[1 : 1+int(rest[0])]
		if len(record) < voterLength {
			return ds, rest, false
		}
		m, err := parseMark(record[voterLength:])
		if err != nil {
			return ds, rest, false
		}
		v := popeye.Vote{Round: round, Choices: m.Choices, Stamp: m.Stamp, Serial: m.Serial, Unconfirmed: m.Unconfirmed}
		copy(v.Voter[:], record)
		ds = append(ds, popeye.Delivery{Vote: v})
		rest = rest[len(record)+1:]
	}
	return ds, rest, true
}

// remains is a vote that stands for what cannot be read, the same each time.
func (e entry) remains(rest string) popeye.Vote {
	sum := sha256.Sum256([]byte(e.position + " " + rest))
	v := popeye.Vote{Stamp: popeye.Stamp(milliseconds(e.position) * 1000), Serial: 1}
	copy(v.Voter[:], sum[:])
	return v
}

// name gives each delivery its ID: the entry's position and its number there.
func (e entry) name(ds []popeye.Delivery) {
	names := make([]byte, 0, len(ds)*(len(e.position)+4))
	for i := range ds {
		names = append(names, e.position...)
		names = append(names, '/')
		names = strconv.AppendInt(names, int64(i), 10)
	}
	all := string(names)
	for i := range ds {
		n := len(e.position) + 1 + digits(i)
		ds[i].ID, all = all[:n], all[n:]
	}
}

// digits is how many an index has.
func digits(i int) int {
	n := 1
	for ; i >= 10; i /= 10 {
		n++
	}
	return n
}

// place reads what name has written.
func placeOf(id string) (position string, index int, ok bool) {
	position, text, ok := strings.Cut(id, "/")
	if !ok {
		return "", 0, false
	}
	index, err := strconv.Atoi(text)
	return position, index, err == nil && index >= 0
}

// milliseconds is when the entry at a position was written, since 1970.
func milliseconds(position string) int64 {
	text, _, _ := strings.Cut(position, "-")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
