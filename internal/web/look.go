package web

import (
	"encoding/hex"
	"html/template"
	"strconv"
	"strings"

	"popeye"
)

// look is how an option is told from the others before its label is read. One
// without a picture or an emoji flies a signal flag of its own: eight colours
// by eight patterns make all 64 different, to the colour-blind as well.
type look struct {
	// Class selects the palette's colour, which differs between light and dark.
	// It is empty where the organiser gave a Color.
	Class string
	Color string
	// Pattern draws the flag's charge, as an SVG path in an 8 by 8 field. On a
	// Color that is Pale it is drawn dark.
	Pattern string
	Pale    bool
	Emoji   string
	Picture template.URL
}

// flagPatterns is the number of distinct patterns, and of palette colours in
// popeye.css.
const flagPatterns = 8

func lookOf(i int, o popeye.Option) look {
	l := look{Color: o.Color, Emoji: o.Emoji, Pattern: flagPattern(i + i/flagPatterns), Picture: pictureURL(o.Picture)}
	if l.Color == "" {
		l.Class = "c" + strconv.Itoa(i%flagPatterns)
	}
	l.Pale = isPale(l.Color)
	return l
}

// isPale reports whether dark shows better than white on a colour given as #rgb
// or #rrggbb.
func isPale(color string) bool {
	digits := strings.TrimPrefix(color, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	rgb, err := hex.DecodeString(digits)
	if err != nil || len(rgb) != 3 {
		return false
	}
	// Perceived brightness in thousandths, by the weights of Rec. 601.
	return 299*int(rgb[0])+587*int(rgb[1])+114*int(rgb[2]) > 150*1000
}

// flagPattern returns the i-th pattern, counting round: disc, diagonal, cross,
// pale, lozenge, saltire, bar, quarters.
func flagPattern(i int) string {
	return [flagPatterns]string{
		"M4 2a2 2 0 0 1 0 4a2 2 0 0 1 0-4z",
		"M0 8L8 0V8z",
		"M3 0h2v3h3v2H5v3H3V5H0V3h3z",
		"M3 0h2v8H3z",
		"M4 .9L7.1 4L4 7.1L.9 4z",
		"M0 0h1.5L4 2.5L6.5 0H8v1.5L5.5 4L8 6.5V8H6.5L4 5.5L1.5 8H0V6.5L2.5 4L0 1.5z",
		"M0 3h8v2H0z",
		"M4 0h4v4H4zM0 4h4v4H0z",
	}[i%flagPatterns]
}

// pictureURL lets a data:image/ URL through to an <img>, where nothing in it
// can run. html/template would refuse its scheme; all others it judges itself.
func pictureURL(s string) template.URL {
	local := strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//")
	if !local && !strings.HasPrefix(s, "data:image/") {
		return ""
	}
	return template.URL(s) //nolint:gosec // the scheme was checked above, and the template still escapes quotes
}
