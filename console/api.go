package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/jsconfig"
)

// Fleet is the view that the API shows.
type Fleet interface {
	Summary() fleet.Summary
	Nodes(q fleet.Query) (fleet.Page, error)
}

// Registrations are what the nodes of the view have registered.
type Registrations interface {
	Detail(ctx context.Context, name string) (detail fleet.Detail, known bool, err error)
	Diff(ctx context.Context, name string) (diff fleet.Diff, known bool, err error)
	Inventories(ctx context.Context, names []string, take func(name string, i *choria.Inventory) error) error
}

// Events is the stream of what has become of the nodes.
type Events interface {
	Events(ctx context.Context, q fleet.EventQuery) (fleet.EventPage, error)
	FollowEvents(ctx context.Context, after uint64, take func(*fleet.Event) error) error
}

// api is /api/v1.
type api struct {
	fleet         Fleet
	registrations Registrations
	changes       Events
	followers     chan struct{} // a place for each that may follow events
	patience      time.Duration // how long who asked may take to read a part of an answer
	log           hclog.Logger
}

func (a api) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/fleet", plain(a.summary))
	mux.HandleFunc("GET /api/v1/nodes", a.nodes)
	mux.HandleFunc("GET /api/v1/nodes/{name}", plain(a.node))
	mux.HandleFunc("GET /api/v1/nodes/{name}/diff", plain(a.diff))
	mux.HandleFunc("GET /api/v1/events", a.events)
}

// FleetDisabled is what is answered for all of it where there is no fleet.
const FleetDisabled = "nobody watches the nodes: fleet.enabled is false"

func nobodyWatches(w http.ResponseWriter, _ *http.Request) {
	writeError(w, http.StatusNotFound, FleetDisabled)
}

func (a api) summary(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.fleet.Summary()) }

func (a api) node(w http.ResponseWriter, r *http.Request) {
	detail, known, err := a.registrations.Detail(r.Context(), r.PathValue("name"))
	writeOfNode(w, r, detail, known, err)
}

func (a api) diff(w http.ResponseWriter, r *http.Request) {
	diff, known, err := a.registrations.Diff(r.Context(), r.PathValue("name"))
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

// writeRejected answers who was turned away, the latest first.
func writeRejected(w http.ResponseWriter, rejected func() ([]rejected.Entry, uint64)) {
	cases, forgotten := rejected()
	writeJSON(w, Rejected{cases, forgotten})
}

// Rejected is who was turned away since the start.
type Rejected struct {
	Cases     []rejected.Entry `json:"cases"`
	Forgotten uint64           `json:"forgotten"` // cases that there was no room for
}

// Streams are those that are there, and what would make them as they are declared.
type Streams struct {
	Streams []jsconfig.StreamInfo `json:"streams"`
	Changes []jsconfig.Change     `json:"changes"`
	Overlap string                `json:"overlap,omitempty"` // why no change can be told: subjects that two streams want
}

func writeStreams(w http.ResponseWriter, r *http.Request, streams func(context.Context) (Streams, error)) {
	answer, err := streams(r.Context())
	if err != nil {
		writeError(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	writeJSON(w, answer)
}

// plain is a page that nothing is asked of: a parameter would be one that its author thinks is
// heeded.
func plain(page http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			writeError(w, http.StatusBadRequest, fmt.Sprintf("%s takes no parameters", r.URL.Path))
			return
		}
		page(w, r)
	}
}

// noPage answers where the API has nothing, or does not do what is asked.
func noPage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, http.StatusMethodNotAllowed, "the API changes nothing: GET is all that it takes")
		return
	}
	writeError(w, http.StatusNotFound, fmt.Sprintf("the API has no page %s; see docs/api.md", r.URL.Path))
}

// parseForm is what the URL asks. What it cannot be read as is an error, not left out.
func parseForm(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the address cannot be read: %w", err)
	}
	return values, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // subjects are full of what HTML would have escaped
	_ = encoder.Encode(v)        // who has gone away is told nothing
}

// writeError answers with a sentence.
func writeError(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{sentence})
}
