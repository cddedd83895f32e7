package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"golang.org/x/term"
)

// printJSON writes one JSON value, indented, to standard output.
func (p *program) printJSON(v any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printTable writes aligned columns under a header to standard output.
func (p *program) printTable(header []string, rows [][]string) error {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // into memory, which cannot fail
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(p.out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// printCSV writes rows to standard output, see https://www.rfc-editor.org/rfc/rfc4180.
func (p *program) printCSV(rows ...[]string) error { return csv.NewWriter(p.out).WriteAll(rows) }

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// count formats a number for people, as 1,234.
func count(n uint64) string { return humanize.Comma(int64(n)) }

// counted formats a number of things for people: "1 message", "2,000 messages".
func counted(n uint64, singular string) string {
	return count(n) + " " + english.PluralWord(int(min(n, 2)), singular, "")
}

// ago formats a time for people, as "3 hours ago"; the zero time is "never".
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return humanize.Time(t)
}

// timestamp formats a time for programs, as RFC 3339; the zero time is empty.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// agoAndTimestamp formats a time for people who also need the exact time; the zero time is "never".
func agoAndTimestamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s, %s", ago(t), t.UTC().Format(time.RFC3339))
}

// shorten returns at most 60 characters of a text, with … where it was cut.
func shorten(text string) string {
	const maxLength = 60
	if runes := []rune(text); len(runes) > maxLength {
		return string(runes[:maxLength]) + "…"
	}
	return text
}

// quoteUnsafe returns a text that came from an unverified client so that it cannot break a table
// or control a terminal: quoted where it has such characters, and - for an empty one.
func quoteUnsafe(text string) string {
	if text == "" {
		return "-"
	}
	if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return fmt.Sprintf("%q", text)
	}
	return text
}
