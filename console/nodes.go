package console

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
)

// atOnce is how many nodes of a long answer are in memory.
const atOnce = 1000

func (a api) nodes(w http.ResponseWriter, r *http.Request) {
	values, err := parseForm(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	asked, err := parseQuery(values)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	part := asked.Query
	if asked.format != "json" && (part.Sort == "" || part.Sort == "name") {
		part.Limit = atOnce
		if asked.Limit > 0 {
			part.Limit = min(atOnce, asked.Limit)
		}
	}
	page, err := a.fleet.Nodes(part)
	switch {
	case errors.Is(err, fleet.ErrQuery):
		writeError(w, http.StatusBadRequest, err.Error())
	case err != nil:
		writeError(w, http.StatusServiceUnavailable, err.Error())
	case asked.format == "json":
		writeJSON(w, page)
	default:
		a.stream(w, asked, part, page)
	}
}

// stream writes page after page, until there is none or who asked has gone.
func (a api) stream(w http.ResponseWriter, asked asked, part fleet.Query, page fleet.Page) {
	out, control := a.writer(w, asked.format), http.NewResponseController(w)
	for left := asked.Limit; ; {
		_ = control.SetWriteDeadline(time.Now().Add(a.patience)) // a server can
		if out.nodes(page.Nodes) != nil {
			return
		}
		left -= len(page.Nodes)
		if page.Next == "" || asked.Limit > 0 && left == 0 {
			return
		}
		if asked.Limit > 0 {
			part.Limit = min(atOnce, left)
		}
		part.After = page.Next
		var err error
		if page, err = a.fleet.Nodes(part); err != nil { // it was no error a moment ago
			return
		}
	}
}

// writer writes nodes in a format.
type writer interface {
	nodes([]fleet.Node) error
}

func (a api) writer(w http.ResponseWriter, format string) writer {
	switch format {
	case "csv":
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		return &table{csv: csv.NewWriter(w), facts: a.fleet.Summary().Index}
	case "names":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return names{w}
	default:
		w.Header().Set("Content-Type", "application/x-ndjson")
		return lines{json.NewEncoder(w)}
	}
}

// lines are nodes as JSON objects, one a line.
type lines struct{ *json.Encoder }

func (l lines) nodes(nodes []fleet.Node) error {
	for _, n := range nodes {
		if err := l.Encode(n); err != nil {
			return err
		}
	}
	return nil
}

// names are nodes' names, one a line.
type names struct{ io.Writer }

func (l names) nodes(nodes []fleet.Node) error {
	for _, n := range nodes {
		if _, err := io.WriteString(l, n.Name+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// table is nodes as rows, under a header.
type table struct {
	csv    *csv.Writer
	facts  []string
	header bool // is written
}

// columns are those of every node; the indexed facts follow.
var columns = []string{"name", "state", "since", "reason", "site", "registered", "connected", "address", "classes", "agents"}

func (t *table) nodes(nodes []fleet.Node) error {
	if !t.header {
		t.header = true
		_ = t.csv.Write(append(columns[:len(columns):len(columns)], t.facts...)) // Error below tells
	}
	for _, n := range nodes {
		row := []string{
			n.Name, string(n.State), moment(n.Since), n.Reason, n.Site, moment(n.Registered), n.Connection.Connected, n.Connection.Address,
			strings.Join(n.Classes, " "), strings.Join(n.Agents, " "),
		}
		for _, fact := range t.facts {
			row = append(row, n.FactText(fact))
		}
		_ = t.csv.Write(row)
	}
	t.csv.Flush()
	return t.csv.Error()
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
