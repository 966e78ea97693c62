package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"popeye"
	"popeye/internal/web"
)

// snapshot is a tally with all the forms in which it leaves, made once for
// however many viewers.
type snapshot struct {
	tally popeye.Tally
	// json ends in a newline, and is not to be appended to.
	json  []byte
	frame []byte
	etag  string
}

func newSnapshot(t popeye.Tally) (*snapshot, error) {
	text, err := json.Marshal(web.NewResult(&t))
	if err != nil {
		return nil, fmt.Errorf("encode the result of %s: %w", t.ID, err)
	}
	version := strconv.FormatInt(t.Version, 10)
	return &snapshot{tally: t, json: append(text, '\n'), frame: frameOf("results", version, text), etag: `"` + version + `"`}, nil
}

// frameOf returns an event in the form of the HTML standard, section 9.2.6
// (Interpreting an event stream).
func frameOf(event, id string, data []byte) []byte {
	var b bytes.Buffer
	b.WriteString("event: " + event + "\n")
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("data: ")
	b.Write(data)
	b.WriteString("\n\n")
	return b.Bytes()
}

// beat returns the comment of a heartbeat: whether what was shown is fresh, or
// for how long votes may be missing in it.
func beat(stale time.Duration) []byte {
	if stale > 0 {
		return []byte(": stale " + strconv.FormatInt(seconds(stale), 10) + "\n\n")
	}
	return []byte(": fresh\n\n")
}

// seconds returns d in whole seconds.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
