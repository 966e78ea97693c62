package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// table collects the figures in the order in which they come.
type table struct{ figures []*figure }

// figure is something measured once a round, with its floor.
type figure struct {
	name string
	// target is the promise, zero for none; more says that more is better.
	target float64
	more   bool
	// format prints a value with its unit.
	format string
	// floor says what the floor is.
	floor            string
	measured, floors []float64
}

// of returns the figure like f of that name, which is new if there is none.
func (t *table) of(f figure) *figure {
	for _, known := range t.figures {
		if known.name == f.name && known.floor == f.floor {
			return known
		}
	}
	t.figures = append(t.figures, &f)
	return &f
}

// add enters one round's measurements.
func (f *figure) add(measured, floor float64) {
	f.measured = append(f.measured, measured)
	if f.floor != "" {
		f.floors = append(f.floors, floor)
	}
}

// String returns the table as Markdown, with the columns in line.
func (t *table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(w, "| "+strings.Join(cells, "\t| ")+"\t|") }
	row("figure", "target", "measured: median [least .. most]", "met", "floor: median", "ratio to floor")
	row("---", "---", "---", "---", "---", "---")
	for _, f := range t.figures {
		row(f.name, f.promise(), f.result(), f.met(), f.floorResult(), f.ratio())
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

func (f *figure) print(v float64) string { return fmt.Sprintf(f.format, v) }

func (f *figure) promise() string {
	if f.target == 0 {
		return ""
	}
	if f.more {
		return ">= " + f.print(f.target)
	}
	return "< " + f.print(f.target)
}

func (f *figure) result() string {
	return fmt.Sprintf("%s [%s .. %s]", f.print(median(f.measured)),
		f.print(slices.Min(f.measured)), f.print(slices.Max(f.measured)))
}

func (f *figure) met() string {
	m := median(f.measured)
	switch {
	case f.target == 0:
		return ""
	case f.more && m >= f.target, !f.more && m < f.target:
		return "yes"
	default:
		return "NO"
	}
}

func (f *figure) floorResult() string {
	if f.floor == "" {
		return ""
	}
	return f.floor + ": " + f.print(median(f.floors))
}

// ratio is the median of each round's, for what slows one slows the other.
func (f *figure) ratio() string {
	if f.floor == "" {
		return ""
	}
	ratios := make([]float64, len(f.measured))
	for i := range ratios {
		ratios[i] = f.measured[i] / f.floors[i]
	}
	return fmt.Sprintf("%.2f", median(ratios))
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
