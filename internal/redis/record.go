package redis

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"popeye"
)

// What the bytes of marks and records mean stands in lua/cast.lua.
const (
	stampLength  = 7
	serialLength = 6
	voterLength  = len(popeye.Voter{})
	// manyVotes stands in a mark's head for a serial that has bytes of its own.
	manyVotes = 127
	// lastStamp is the highest that Lua can reckon with.
	lastStamp = 1<<53 - 1
)

var errMalformed = errors.New("it is not written as it should be")

// appendStamp appends a stamp that is within bounds.
func appendStamp(b []byte, s popeye.Stamp) []byte {
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], uint64(s))
	return append(b, word[8-stampLength:]...)
}

// appendMark appends a mark whose stamp and serial are within bounds.
func appendMark(b []byte, m popeye.Mark) []byte {
	b = appendStamp(b, m.Stamp)
	var word [8]byte
	head := byte(manyVotes)
	if m.Serial < manyVotes {
		head = byte(m.Serial)
	}
	head <<= 1
	if m.Unconfirmed {
		head |= 1
	}
	b = append(b, head)
	if m.Serial >= manyVotes {
		binary.BigEndian.PutUint64(word[:], uint64(m.Serial))
		b = append(b, word[8-serialLength:]...)
	}
	binary.BigEndian.PutUint64(word[:], uint64(m.Choices))
	return append(b, word[8-lengthOf(m.Choices):]...)
}

// lengthOf is in how many bytes choices are written.
func lengthOf(c popeye.Choices) int { return (bits.Len64(uint64(c)) + 7) / 8 }

// parseMark reads what appendMark or the cast script has written.
func parseMark(text string) (popeye.Mark, error) {
	if len(text) < stampLength+1 {
		return popeye.Mark{}, errMalformed
	}
	head := text[stampLength]
	m := popeye.Mark{
		Stamp:       popeye.Stamp(number(text[:stampLength])),
		Serial:      int64(head >> 1),
		Unconfirmed: head&1 == 1,
	}
	rest := text[stampLength+1:]
	if m.Serial == manyVotes {
		if len(rest) < serialLength {
			return popeye.Mark{}, errMalformed
		}
		m.Serial, rest = int64(number(rest[:serialLength])), rest[serialLength:]
	}
	if len(rest) > 8 {
		return popeye.Mark{}, errMalformed
	}
	m.Choices = popeye.Choices(number(rest))
	return m, nil
}

// number reads at most 8 bytes, the highest first.
func number(text string) uint64 {
	var n uint64
	for i := range len(text) {
		n = n<<8 | uint64(text[i])
	}
	return n
}
