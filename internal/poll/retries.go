package poll

import (
	"crypto/sha256"
	"encoding/binary"

	lru "github.com/hashicorp/golang-lru/v2"

	"popeye"
)

// rememberedRetries bounds the memory of retries: about 100 bytes each.
const rememberedRetries = 1 << 16

// retries remembers which requests a voter has made under which
// Idempotency-Key. A late copy of an earlier change must not move the vote back;
// where the client does not say which vote it follows, this is what tells the
// copy from a change of mind. It forgets the oldest, and does not outlive the
// process: a client that needs more sends "after".
type retries struct {
	seen *lru.Cache[retry, struct{}]
}

// retry identifies a request: a hash, so that nothing here says who chose what.
type retry [16]byte

func newRetries() *retries {
	seen, err := lru.New[retry, struct{}](rememberedRetries)
	if err != nil {
		panic(err) // only a size below one fails
	}
	return &retries{seen: seen}
}

// retryOf returns the identity of a request of voter v to cast c under key.
func retryOf(key string, c popeye.Cast) retry {
	h := sha256.New()
	h.Write(c.Voter[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(c.Choices)))
	h.Write([]byte(key))
	return retry(h.Sum(nil)[:16])
}

func (r *retries) has(id retry) bool { return r.seen.Contains(id) }

func (r *retries) add(id retry) { r.seen.Add(id, struct{}{}) }
