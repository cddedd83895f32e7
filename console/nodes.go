package console

import (
	"context"
	"errors"
	"net/http"
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
		a.writeAll(w, r, asked, part, page)
	}
}

// writeAll writes every page. Who reads an answer that breaks off is not left to take it for
// the whole.
func (a api) writeAll(w http.ResponseWriter, r *http.Request, asked asked, part fleet.Query, page fleet.Page) {
	p := &patient{ResponseWriter: w, patience: a.patience}
	err := a.stream(r.Context(), p, asked, part, page)
	switch {
	case err != nil && !p.begun:
		writeError(w, http.StatusServiceUnavailable, err.Error())
	case err != nil:
		if r.Context().Err() == nil { // otherwise it is who asked that has gone
			a.log.Warn("answer broken off", "path", r.URL.Path, "error", err)
		}
		_ = http.NewResponseController(w).Flush() // so that it has begun for who reads, too
		panic(http.ErrAbortHandler)
	}
}

// patient is an answer that may take as long as it is read, part by part.
type patient struct {
	http.ResponseWriter
	patience time.Duration // with who reads
	begun    bool
}

func (p *patient) Write(part []byte) (int, error) {
	p.begun = true
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(p.patience)) // a server can
	return p.ResponseWriter.Write(part)
}

// stream writes page after page, until there is none or who asked has gone.
func (a api) stream(ctx context.Context, w http.ResponseWriter, asked asked, part fleet.Query, page fleet.Page) error {
	out := a.writer(ctx, w, asked.format)
	for left := asked.Limit; ; {
		if err := out.nodes(page.Nodes); err != nil {
			return err
		}
		left -= len(page.Nodes)
		if page.Next == "" || asked.Limit > 0 && left == 0 {
			return out.end()
		}
		if asked.Limit > 0 {
			part.Limit = min(atOnce, left)
		}
		part.After = page.Next
		var err error
		if page, err = a.fleet.Nodes(part); err != nil {
			return err
		}
	}
}
