package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/muster-appliance/muster/fleet"
)

// Fleet is the view that the API shows.
type Fleet interface {
	Summary() fleet.Summary
	Nodes(q fleet.Query) (fleet.Page, error)
	Detail(ctx context.Context, name string) (detail fleet.Detail, known bool, err error)
	Diff(ctx context.Context, name string) (diff fleet.Diff, known bool, err error)
}

// Events is the stream of what has become of the nodes.
type Events interface {
	EventsAfter(ctx context.Context, after uint64, most int) ([]*fleet.Event, error)
}

const (
	// mostEvents is the longest page of events, usualEvents what comes without being asked for.
	mostEvents  = 10_000
	usualEvents = 100
)

// api is /api/v1.
type api struct {
	fleet   Fleet
	changes Events
}

func (a api) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/fleet", a.summary)
	mux.HandleFunc("GET /api/v1/nodes", a.nodes)
	mux.HandleFunc("GET /api/v1/nodes/{name}", a.node)
	mux.HandleFunc("GET /api/v1/nodes/{name}/diff", a.diff)
	mux.HandleFunc("GET /api/v1/events", a.events)
}

// nobodyWatches answers for all of it where there is no fleet.
func nobodyWatches(w http.ResponseWriter, _ *http.Request) {
	writeError(w, http.StatusNotFound, "nobody watches the nodes: fleet.enabled is false")
}

func (a api) summary(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.fleet.Summary()) }

func (a api) node(w http.ResponseWriter, r *http.Request) {
	detail, known, err := a.fleet.Detail(r.Context(), r.PathValue("name"))
	writeOfNode(w, r, detail, known, err)
}

func (a api) diff(w http.ResponseWriter, r *http.Request) {
	diff, known, err := a.fleet.Diff(r.Context(), r.PathValue("name"))
	writeOfNode(w, r, diff, known, err)
}

// writeOfNode answers what is known of a node, or why nothing is.
func writeOfNode(w http.ResponseWriter, r *http.Request, v any, known bool, err error) {
	switch {
	case !known:
		writeError(w, http.StatusNotFound, fmt.Sprintf("no node %q has registered, or it is forgotten", r.PathValue("name")))
	case err != nil:
		writeError(w, http.StatusServiceUnavailable, err.Error())
	default:
		writeJSON(w, v)
	}
}

// events are those after a sequence of the stream, the latest without one.
func (a api) events(w http.ResponseWriter, r *http.Request) {
	after, err := number(r, "after", 0)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	most, err := number(r, "limit", usualEvents)
	if err != nil || most < 1 || most > mostEvents {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("limit: want a number from 1 to %d", mostEvents))
		return
	}
	events, err := a.changes.EventsAfter(r.Context(), after, int(most))
	if err != nil {
		writeError(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	writeJSON(w, struct {
		Events []*fleet.Event `json:"events"`
	}{events})
}

// parseForm is what the URL asks. What it cannot be read as is an error, not left out.
func parseForm(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the address cannot be read: %w", err)
	}
	return values, nil
}

func number(r *http.Request, key string, otherwise uint64) (uint64, error) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not a number", key, text)
	}
	return n, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who has gone away is told nothing
}

// writeError answers with a sentence.
func writeError(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{sentence})
}
