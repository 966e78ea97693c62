package web

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"popeye"
)

// Result is a tally as the API shows it. The version covers all of it.
type Result struct {
	Poll    string          `json:"poll"`
	Version int64           `json:"version"`
	State   popeye.Standing `json:"state"`
	Total   int64           `json:"total"`
	Options []OptionResult  `json:"options"`
	Ledger  LedgerResult    `json:"ledger"`
	// Incomplete: see popeye.Definition.
	Incomplete bool `json:"incomplete,omitempty"`
	// Receipts is nil until the final list is there.
	Receipts *ReceiptsResult `json:"receipts,omitempty"`
}

// ReceiptsResult is what a final result says of its list of receipts.
type ReceiptsResult struct {
	// SHA256 is that of the list, in hexadecimal.
	SHA256 string `json:"sha256"`
}

// OptionResult is how many votes an option has.
type OptionResult struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	Votes int64  `json:"votes"`
}

// LedgerResult is a popeye.Ledger.
type LedgerResult struct {
	Accepted int64 `json:"accepted"`
	Queued   int64 `json:"queued"`
	Stored   int64 `json:"stored"`
	Rejected int64 `json:"rejected"`
}

// NewResult returns what the API shows of t.
func NewResult(t *popeye.Tally) Result {
	r := Result{
		Poll: t.ID, Version: t.Version, State: t.Standing(), Total: t.Total,
		Options: make([]OptionResult, len(t.Options)),
		Ledger:  LedgerResult(t.Ledger), Incomplete: t.Incomplete,
	}
	if t.ReceiptsHash != "" {
		r.Receipts = &ReceiptsResult{SHA256: t.ReceiptsHash}
	}
	for i, o := range t.Options {
		r.Options[i] = OptionResult{ID: o.ID, Label: o.Label, Votes: votesFor(t, i)}
	}
	return r
}

// ExportFormat returns the format that the query of r asks for, "csv" or "json",
// and otherwise if it asks for none. It fails with the problem 400.
func ExportFormat(r *http.Request, otherwise string) (string, error) {
	switch format := r.URL.Query().Get("format"); format {
	case "":
		return otherwise, nil
	case "csv", "json":
		return format, nil
	default:
		return "", NewProblem(http.StatusBadRequest, "A result is exported as format=csv or format=json.")
	}
}

// Export answers with t as a file to keep, in the format "csv" or "json".
func Export(w http.ResponseWriter, t *popeye.Tally, format string) error {
	header := w.Header()
	header.Set("Content-Disposition", `attachment; filename="`+t.ID+"."+format+`"`)
	header.Set("Cache-Control", "private, no-store")
	if format == "json" {
		JSON(w, http.StatusOK, NewResult(t))
		return nil
	}
	text, err := csvOf(t)
	if err != nil {
		return err
	}
	header.Set("Content-Type", "text/csv; charset=utf-8")
	// A client that is gone is not an error.
	_, _ = w.Write(text)
	return nil
}

// csvOf returns a line for each option, as RFC 4180 has it. No ID and no label
// can be taken for a formula by a spreadsheet.
func csvOf(t *popeye.Tally) ([]byte, error) {
	var text bytes.Buffer
	out := csv.NewWriter(&text)
	out.UseCRLF = true
	lines := [][]string{{"option", "label", "votes"}}
	for i, o := range t.Options {
		lines = append(lines, []string{harmless(o.ID), harmless(o.Label), strconv.FormatInt(votesFor(t, i), 10)})
	}
	if err := out.WriteAll(lines); err != nil {
		return nil, fmt.Errorf("write %s as CSV: %w", t.ID, err)
	}
	return text.Bytes(), nil
}

// harmless puts an apostrophe before what a spreadsheet would calculate (OWASP,
// CSV injection).
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
