package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
)

// formats are how nodes are written; json is pages, the others are all of them.
var formats = []string{"json", "jsonl", "csv", "names", "flatfile", "inventory"}

// WithoutInventory is the trailer of an inventory file with how many of its nodes have
// registered neither an inventory nor facts.
const WithoutInventory = "Muster-Without-Inventory"

// writer writes nodes in a format.
type writer interface {
	nodes([]fleet.NodeStatus) error
	end() error
}

func (a api) writer(ctx context.Context, w http.ResponseWriter, format string) writer {
	switch format {
	case "csv":
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		return &table{csv: csv.NewWriter(w), facts: a.fleet.Summary().Index}
	case "names", "flatfile": // Choria's flat file has a name on each line
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return names{w}
	case "inventory":
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Trailer", WithoutInventory)
		return &inventory{ctx: ctx, from: a.registrations, w: w, file: choria.NewInventoryFile(w)}
	default:
		w.Header().Set("Content-Type", "application/x-ndjson")
		return lines{json.NewEncoder(w)}
	}
}

// lines are nodes as JSON objects, one a line.
type lines struct{ *json.Encoder }

func (l lines) nodes(nodes []fleet.NodeStatus) error {
	for _, n := range nodes {
		if err := l.Encode(n); err != nil {
			return err
		}
	}
	return nil
}

func (lines) end() error { return nil }

// names are nodes' names, one a line.
type names struct{ io.Writer }

func (l names) nodes(nodes []fleet.NodeStatus) error {
	for _, n := range nodes {
		if _, err := io.WriteString(l, n.Name+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (names) end() error { return nil }

// table is nodes as rows, under a header.
type table struct {
	csv    *csv.Writer
	facts  []string
	header bool // is written
}

// columns are those of every node; the indexed facts follow, each under "facts." and its name.
var columns = []string{"name", "state", "since", "reason", "site", "registered", "connected", "address", "classes", "agents"}

func (t *table) nodes(nodes []fleet.NodeStatus) error {
	if !t.header {
		t.header = true
		header := slices.Clone(columns)
		for _, fact := range t.facts {
			header = append(header, "facts."+fact)
		}
		_ = t.csv.Write(header) // Error below tells
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

func (*table) end() error { return nil }

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// inventory is Choria's inventory file.
type inventory struct {
	ctx     context.Context
	from    Registrations
	w       http.ResponseWriter
	file    *choria.InventoryFile
	without int
}

func (f *inventory) nodes(nodes []fleet.NodeStatus) error {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return f.from.Inventories(f.ctx, names, func(name string, i *choria.Inventory) error {
		if i == nil {
			f.without++
		}
		return f.file.Add(name, i)
	})
}

func (f *inventory) end() error {
	f.w.Header().Set(WithoutInventory, strconv.Itoa(f.without))
	return f.file.Close()
}
