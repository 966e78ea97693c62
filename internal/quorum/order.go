package quorum

import (
	"encoding/binary"
	"hash/fnv"

	"popeye"
)

// order gives the servers of one voter one after the other, the highest weight
// of place and voter first. Every process finds the same order, voters are spread
// evenly, and a server more or less moves no other. The zero order is empty.
type order struct {
	places  []*place
	voter   uint64
	visited uint64 // bit i: places[i] was given out
}

func (q *Queue) order(v popeye.Voter) order {
	return order{places: q.places, voter: binary.BigEndian.Uint64(v[:8]) ^ mixed(binary.BigEndian.Uint64(v[8:]))}
}

// next returns the next server, nil behind the last. It makes no garbage, and
// with so few servers sorting would take longer.
func (o *order) next() *place {
	var heaviest *place
	var at int
	var most uint64
	for i, p := range o.places {
		if o.visited>>i&1 != 0 {
			continue
		}
		if weight := mixed(p.seed ^ o.voter); heaviest == nil || weight > most {
			heaviest, at, most = p, i, weight
		}
	}
	o.visited |= 1 << at
	return heaviest
}

// seedOf turns the name of a place into its share of the weights.
func seedOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash takes everything
	return h.Sum64()
}

// mixed returns x with every bit depending on every bit of x, one to one: two
// rounds of multiplying by an odd number and folding the high half down.
func mixed(x uint64) uint64 {
	x ^= x >> 32
	x *= 0x9e3779b97f4a7c15
	x ^= x >> 29
	x *= 0xd1b54a32d192ed03
	return x ^ x>>32
}
