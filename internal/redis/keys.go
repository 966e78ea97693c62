package redis

import "strconv"

// Keys and names that the scripts use too. The tag in braces keeps all keys in
// one slot of a cluster.
const (
	keyVotes    = "{popeye}:votes"
	keyCatalog  = "{popeye}:catalog"
	keyVoterKey = "{popeye}:voterkey"
	keyRound    = "{popeye}:round:"
	groupName   = "workers"
	fieldVotes  = "v"
)

func roundKey(round int64) string { return keyRound + strconv.FormatInt(round, 10) }

// oneSlot are the keys of scripts that know their keys themselves: one of them,
// so that the call goes to the server that has their slot.
func oneSlot() []string { return []string{keyVotes} }
