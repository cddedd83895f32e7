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

// formats are the values of format=. json is one page; the others write every selected node.
var formats = []string{"json", "jsonl", "csv", "names", "flatfile", "inventory"}

// WithoutInventory is the trailer of an inventory file that counts its nodes whose last
// registration has neither an inventory nor facts, or cannot be read.
const WithoutInventory = "Muster-Without-Inventory"

// nodeWriter writes nodes in one format: write once for each page, then end.
type nodeWriter interface {
	write([]fleet.NodeStatus) error
	end() error
}

// newNodeWriter sets the headers of the answer and returns a writer for one of formats, other
// than json.
func (a *api) newNodeWriter(ctx context.Context, w http.ResponseWriter, format string) nodeWriter {
	switch format {
	case "csv":
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		return &csvWriter{csv: csv.NewWriter(w), facts: a.opts.Fleet.Summary().Index}
	case "names", "flatfile": // Choria's flat file is one name a line, too
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return &nameWriter{Writer: w}
	case "inventory":
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Trailer", WithoutInventory)
		return &inventoryWriter{ctx: ctx, source: a.opts.Registrations, w: w, file: choria.NewInventoryFile(w)}
	default:
		w.Header().Set("Content-Type", "application/x-ndjson")
		return jsonlWriter{json.NewEncoder(w)}
	}
}

// jsonlWriter writes one JSON object a line.
type jsonlWriter struct{ *json.Encoder }

func (w jsonlWriter) write(nodes []fleet.NodeStatus) error {
	for _, n := range nodes {
		if err := w.Encode(n); err != nil {
			return err
		}
	}
	return nil
}

func (jsonlWriter) end() error { return nil }

// nameWriter writes one name a line. A name that several sites have is written once, since they follow each other.
type nameWriter struct {
	io.Writer
	last string
}

func (w *nameWriter) write(nodes []fleet.NodeStatus) error {
	for _, n := range nodes {
		if n.Name == w.last {
			continue
		}
		w.last = n.Name
		if _, err := io.WriteString(w, n.Name+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (*nameWriter) end() error { return nil }

// csvWriter writes a header and one row for each node.
type csvWriter struct {
	csv           *csv.Writer
	facts         []string // indexed facts
	headerWritten bool
}

// columns are the columns of every CSV file. A column for each indexed fact follows, named "facts."
// and the path of the fact.
var columns = []string{
	"name", "state", "since", "reason", "site", "registered", "connected", "address", "classes", "agents", "collectives",
	"as_of",
}

func (w *csvWriter) write(nodes []fleet.NodeStatus) error {
	if !w.headerWritten {
		w.headerWritten = true
		header := slices.Clone(columns)
		for _, fact := range w.facts {
			header = append(header, "facts."+fact)
		}
		_ = w.csv.Write(header) // Error below returns the error
	}
	for _, n := range nodes {
		row := []string{
			n.Name, string(n.State), formatTime(n.Since), n.Reason, n.Site, formatTime(n.Registered),
			n.Connection.Connected, n.Connection.Address, strings.Join(n.Classes, " "), strings.Join(n.Agents, " "),
			strings.Join(n.Collectives, " "), formatTime(n.AsOf),
		}
		for _, fact := range w.facts {
			row = append(row, n.FactText(fact))
		}
		_ = w.csv.Write(row)
	}
	w.csv.Flush()
	return w.csv.Error()
}

func (*csvWriter) end() error { return nil }

// formatTime returns the time as RFC 3339, or nothing for the zero time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// inventoryWriter writes Choria's inventory file, with facts read from the stream.
type inventoryWriter struct {
	ctx     context.Context
	source  Registrations
	w       http.ResponseWriter
	file    *choria.InventoryFile
	without int // see WithoutInventory
}

func (w *inventoryWriter) write(nodes []fleet.NodeStatus) error {
	ids := make([]fleet.NodeID, len(nodes))
	for i, n := range nodes {
		ids[i] = n.ID()
	}
	return w.source.Inventories(w.ctx, ids, func(id fleet.NodeID, i *choria.Inventory) error {
		if i == nil {
			w.without++
		}
		return w.file.Add(id.Name, i)
	})
}

func (w *inventoryWriter) end() error {
	w.w.Header().Set(WithoutInventory, strconv.Itoa(w.without))
	return w.file.Close()
}
