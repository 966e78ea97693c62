package redis

import (
	"embed"

	"github.com/redis/rueidis"
)

//go:embed lua/*.lua
var sources embed.FS

// evenWhenFull begins the scripts that free memory in the end, or must work
// without any left. Without it, a script may not begin to write then.
const evenWhenFull = "#!lua flags=allow-oom\n"

type scripts struct {
	cast, mark                *rueidis.Lua
	publish, status           *rueidis.Lua
	seals, reseal, ack, claim *rueidis.Lua
	leave, trim, free, sweep  *rueidis.Lua
}

func loadScripts() (scripts, error) {
	var s scripts
	for _, l := range []struct {
		script **rueidis.Lua
		head   string
		files  []string
	}{
		{&s.cast, "", []string{"marks", "cast"}},
		{&s.mark, "", []string{"marks", "mark"}},
		{&s.publish, evenWhenFull, []string{"server", "publish"}},
		{&s.status, evenWhenFull, []string{"server", "status"}},
		{&s.seals, evenWhenFull, []string{"server", "seals"}},
		{&s.reseal, evenWhenFull, []string{"server", "reseal"}},
		{&s.ack, evenWhenFull, []string{"server", "ack"}},
		{&s.claim, evenWhenFull, []string{"server", "claim"}},
		{&s.leave, evenWhenFull, []string{"server", "leave"}},
		{&s.trim, evenWhenFull, []string{"server", "trim"}},
		{&s.free, evenWhenFull, []string{"server", "marks", "free"}},
		{&s.sweep, evenWhenFull, []string{"server", "sweep"}},
	} {
		text := []byte(l.head)
		for _, f := range l.files {
			part, err := sources.ReadFile("lua/" + f + ".lua")
			if err != nil {
				return scripts{}, err
			}
			text = append(text, part...)
		}
		*l.script = rueidis.NewLuaScript(string(text))
	}
	return s, nil
}
