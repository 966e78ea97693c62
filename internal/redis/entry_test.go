package redis

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"testing"

	"popeye"
)

// written is an entry as the cast script writes it.
func written(round int64, votes ...popeye.Vote) string {
	b := binary.BigEndian.AppendUint64([]byte{1, byte(len(votes))}, uint64(round))
	b = append(b, byte(len(votes)))
	for _, v := range votes {
		m := popeye.Mark{Choices: v.Choices, Stamp: v.Stamp, Serial: v.Serial, Unconfirmed: v.Unconfirmed}
		record := appendMark(v.Voter[:], m)
		b = append(append(b, byte(len(record))), record...)
	}
	return string(b)
}

func TestWhatCannotBeReadOfAnEntryIsOneVoteThatNoStoreCanRecord(t *testing.T) {
	v := popeye.Vote{Round: 7, Voter: popeye.Voter{1}, Choices: 1 << 63, Stamp: 1<<53 - 1, Serial: 200, Unconfirmed: true}
	whole := written(7, v, v)
	for cut := 2; cut < len(whole); cut++ {
		ds := entry{position: "1700000000000-3", value: whole[:cut]}.deliveries(nil)
		for _, d := range ds[:len(ds)-1] {
			if d.Vote != v {
				t.Fatalf("of %d bytes %+v is read, want %+v", cut, d.Vote, v)
			}
		}
		last := ds[len(ds)-1].Vote
		if last.Round != 0 || last.Voter == (popeye.Voter{}) || last.Stamp != 1700000000000000 {
			t.Fatalf("of %d bytes the rest is %+v, want a vote in round 0", cut, last)
		}
		again := entry{position: "1700000000000-3", value: whole[:cut]}.deliveries(nil)
		if !slices.Equal(ds, again) {
			t.Fatalf("of %d bytes another vote is made the second time", cut)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("\x01")
	f.Add("\x01\x00")
	f.Add(written(7, popeye.Vote{Round: 7, Voter: popeye.Voter{1}, Choices: 3, Stamp: 5, Serial: 1}))
	f.Add(written(-1, popeye.Vote{Serial: 1 << 40}) + "\xff")
	f.Fuzz(func(t *testing.T, value string) {
		e := entry{position: "1700000000000-0", value: value}
		if !e.isReadable() {
			return
		}
		ds := e.deliveries(nil)
		if len(ds) == 0 {
			t.Fatal("an entry of nothing would never be acknowledged")
		}
		h := newHand()
		h.add([]entry{e})
		for i, d := range ds {
			position, index, ok := placeOf(d.ID)
			if !ok || position != e.position || index != i {
				t.Fatalf("delivery %d is named %q", i, d.ID)
			}
			if _, done := h.settle(d); done != (i == len(ds)-1) {
				t.Fatalf("with %d of %d votes recorded, the entry is done: %v", i+1, len(ds), done)
			}
		}
	})
}

func FuzzTalk(f *testing.F) {
	f.Add([]byte("*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n"))
	f.Add([]byte("-ERR unknown command 'X', with args beginning with: 'secret'\r\n"))
	f.Add([]byte("$-1\r\n"))
	f.Add([]byte("*-1\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		near, far := net.Pipe()
		go func() {
			question := make([]byte, 64)
			_, _ = far.Read(question)
			_, _ = far.Write(answer)
			_ = far.Close()
		}()
		defer func() { _ = near.Close() }()
		found, err := newTalk(near).ask("PING")
		if err == nil && len(found) > maxElements {
			t.Fatalf("%d elements were read", len(found))
		}
		if err != nil && bytes.Contains([]byte(err.Error()), []byte(", with args")) {
			t.Fatalf("a refusal repeats the command: %v", err)
		}
	})
}
