package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/muster-appliance/muster/fleet"
)

// batchSize is how many nodes of a long answer are in memory at the same time.
const batchSize = 1000

// nodes answers with one page of nodes as JSON, or with all selected nodes in another format.
func (a *api) nodes(w http.ResponseWriter, r *http.Request) {
	values, err := parseParams(r)
	if err != nil {
		writeError(w, CodeBadRequest, err.Error())
		return
	}
	query, err := parseNodeQuery(values)
	if err != nil {
		writeError(w, CodeBadRequest, err.Error())
		return
	}
	batch := query.Query
	// Only the order of names can be read in batches; sorted by time there is one page.
	if query.format != "json" && (batch.Sort == "" || batch.Sort == "name") {
		batch.Limit = batchSize
		if query.Limit > 0 {
			batch.Limit = min(batchSize, query.Limit)
		}
	}
	page, err := a.opts.Fleet.Nodes(batch)
	switch {
	case errors.Is(err, fleet.ErrQuery):
		writeError(w, CodeBadRequest, err.Error())
	case err != nil:
		writeError(w, CodeUnavailable, err.Error())
	case query.format == "json":
		writeJSON(w, page)
	case query.format == "inventory":
		a.inTurn(func(w http.ResponseWriter, r *http.Request) { a.writeNodes(w, r, query, batch, page) })(w, r)
	default:
		a.writeNodes(w, r, query, batch, page)
	}
}

// writeNodes writes every page, beginning with the one given. When that fails midway it aborts
// the connection, so that the client notices that the answer is incomplete.
func (a *api) writeNodes(w http.ResponseWriter, r *http.Request, query nodeQuery, batch fleet.Query, page fleet.Page) {
	d := &deadlineWriter{ResponseWriter: w, timeout: a.writeTimeout}
	err := a.writePages(r.Context(), d, query, batch, page)
	switch {
	case err != nil && !d.begun:
		writeError(w, CodeUnavailable, err.Error())
	case err != nil:
		if r.Context().Err() == nil { // otherwise the client is gone
			a.opts.Log.Warn("answer aborted", "path", r.URL.Path, "error", err)
		}
		_ = http.NewResponseController(w).Flush() // the client must see that the answer had begun
		panic(http.ErrAbortHandler)
	}
}

// deadlineWriter is an answer without a total time limit: each write has its own time limit.
type deadlineWriter struct {
	http.ResponseWriter
	timeout time.Duration
	begun   bool // a write was tried
}

func (d *deadlineWriter) Write(part []byte) (int, error) {
	d.begun = true
	control := http.NewResponseController(d.ResponseWriter)
	_ = control.SetWriteDeadline(time.Now().Add(d.timeout)) // the net/http server supports it
	return d.ResponseWriter.Write(part)
}

// writePages writes page after page until the last one or the query's limit.
func (a *api) writePages(
	ctx context.Context, w http.ResponseWriter, query nodeQuery, batch fleet.Query, page fleet.Page,
) error {
	out := a.newNodeWriter(ctx, w, query.format)
	for left := query.Limit; ; {
		if err := out.write(page.Nodes); err != nil {
			return err
		}
		left -= len(page.Nodes)
		if page.Next == "" || query.Limit > 0 && left == 0 {
			return out.end()
		}
		if query.Limit > 0 {
			batch.Limit = min(batchSize, left)
		}
		batch.After = page.Next
		var err error
		if page, err = a.opts.Fleet.Nodes(batch); err != nil {
			return err
		}
	}
}
