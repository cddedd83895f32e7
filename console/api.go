package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/jsconfig"
)

// Fleet is the fleet view that the API shows.
type Fleet interface {
	Summary() fleet.Summary
	Nodes(q fleet.Query) (fleet.Page, error)
}

// Registrations reads what nodes of the fleet view registered. known is false for a node that
// is not in the view.
type Registrations interface {
	Detail(ctx context.Context, id fleet.NodeID) (detail fleet.Detail, known bool, err error)
	Diff(ctx context.Context, id fleet.NodeID) (diff fleet.Diff, known bool, err error)
	Inventories(ctx context.Context, nodes []fleet.NodeID, handle func(fleet.NodeID, *choria.Inventory) error) error
}

// Events reads the stream of the fleet view's events.
type Events interface {
	Events(ctx context.Context, q fleet.EventQuery) (fleet.EventPage, error)
	FollowEvents(ctx context.Context, after uint64, handle func(*fleet.Event) error) error
}

// Rejected is the answer of /api/v1/rejected: connections that the broker refused and messages
// that adapters rejected since the start, the latest first.
type Rejected struct {
	Entries   []rejected.Entry `json:"cases"`
	Discarded uint64           `json:"forgotten"` // entries that were discarded to make room for later ones
}

// Permissions is the answer of /api/v1/permissions: publishes and subscriptions that were refused for lack
// of permission since the start, by identity.
type Permissions struct {
	Entries   []rejected.Permission `json:"cases"`
	Discarded uint64                `json:"forgotten"` // entries that were discarded to make room for later ones
}

// Streams is the answer of /api/v1/streams: the streams that exist, and the changes that would
// make them match the configuration.
type Streams struct {
	Streams []jsconfig.StreamInfo `json:"streams"`
	Changes []jsconfig.Change     `json:"changes"`
	Overlap string                `json:"overlap,omitempty"` // why the changes are unknown: two streams share subjects
}

// api serves /api/v1.
type api struct {
	opts         Options
	followers    chan struct{} // holds one element for each client that follows events
	readers      chan struct{} // holds one element for each answer that reads registrations
	writeTimeout time.Duration // for each write of a long answer
}

func newAPI(o Options) *api {
	return &api{
		opts: o, followers: make(chan struct{}, maxFollowers), readers: make(chan struct{}, maxReaders),
		writeTimeout: defaultWriteTimeout,
	}
}

// maxReaders is how many answers that read registrations are made at the same time: each may need
// 20 MiB, since registrations have any content.
const maxReaders = 8

// inTurn makes an endpoint wait until fewer than maxReaders others read registrations.
func (a *api) inTurn(endpoint http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case a.readers <- struct{}{}:
			defer func() { <-a.readers }()
			endpoint(w, r)
		case <-r.Context().Done():
		}
	}
}

func (a *api) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/rejected", noParams(a.rejected))
	mux.HandleFunc("GET /api/v1/permissions", noParams(a.permissions))
	mux.HandleFunc("GET /api/v1/streams", noParams(a.streams))
	mux.HandleFunc("GET /api/v1/forward", noParams(a.forward))
	mux.HandleFunc("GET /api/v1/leafnodes", noParams(a.leafnodes))
	mux.HandleFunc("/api/", noEndpoint)
	if a.opts.Fleet == nil {
		mux.HandleFunc("GET /api/v1/", fleetDisabled)
		return
	}
	mux.HandleFunc("GET /api/v1/fleet", noParams(a.summary))
	mux.HandleFunc("GET /api/v1/nodes", a.nodes)
	mux.HandleFunc("GET /api/v1/nodes/{name}", a.inTurn(a.node))
	mux.HandleFunc("GET /api/v1/nodes/{name}/diff", a.inTurn(a.diff))
	mux.HandleFunc("GET /api/v1/sites", noParams(a.sites))
	mux.HandleFunc("GET /api/v1/sites/{name}", noParams(a.site))
	mux.HandleFunc("GET /api/v1/events", a.events)
}

func (a *api) summary(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.opts.Fleet.Summary()) }

func (a *api) node(w http.ResponseWriter, r *http.Request) {
	if id, ok := a.nodeID(w, r); ok {
		detail, known, err := a.opts.Registrations.Detail(r.Context(), id)
		writeNode(w, id, detail, known, err)
	}
}

func (a *api) diff(w http.ResponseWriter, r *http.Request) {
	if id, ok := a.nodeID(w, r); ok {
		diff, known, err := a.opts.Registrations.Diff(r.Context(), id)
		writeNode(w, id, diff, known, err)
	}
}

// writeNode answers with v, or with the error why nothing is known of the node.
func writeNode(w http.ResponseWriter, id fleet.NodeID, v any, known bool, err error) {
	switch {
	case !known && id.Site != "":
		writeError(w, CodeNotFound, fmt.Sprintf("no node %q of site %q has registered or is connected, or it is forgotten",
			id.Name, id.Site))
	case !known:
		writeError(w, CodeNotFound, fmt.Sprintf("no node %q has registered or is connected, or it is forgotten", id.Name))
	case err != nil:
		writeError(w, CodeUnavailable, err.Error())
	default:
		writeJSON(w, v)
	}
}

func (a *api) rejected(w http.ResponseWriter, _ *http.Request) {
	entries, discarded := a.opts.Rejected()
	writeJSON(w, Rejected{entries, discarded})
}

func (a *api) permissions(w http.ResponseWriter, _ *http.Request) {
	entries, discarded := a.opts.Permissions()
	writeJSON(w, Permissions{entries, discarded})
}

func (a *api) streams(w http.ResponseWriter, r *http.Request) {
	answer, err := a.opts.Streams(r.Context())
	if err != nil {
		writeError(w, CodeUnavailable, err.Error())
		return
	}
	writeJSON(w, answer)
}

// fleetDisabled answers on every endpoint of the fleet view when there is none.
func fleetDisabled(w http.ResponseWriter, _ *http.Request) {
	writeError(w, CodeFleetDisabled, "the fleet view is disabled: fleet.enabled is false")
}

// noParams refuses parameters on an endpoint that takes none. Ignoring them would let a client
// believe that they had an effect.
func noParams(endpoint http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			writeError(w, CodeBadRequest, fmt.Sprintf("%s takes no parameters", r.URL.Path))
			return
		}
		endpoint(w, r)
	}
}

// noEndpoint answers requests that no other handler of the API takes.
func noEndpoint(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeError(w, CodeMethodNotAllowed, "the API is read-only: use GET")
		return
	}
	writeError(w, CodeNotFound, fmt.Sprintf("the API has no endpoint %s; see docs/api.md", r.URL.Path))
}

// parseParams returns the parameters in the URL. A malformed one is an error, not left out.
func parseParams(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the query of the URL is malformed: %w", err)
	}
	return values, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // subjects contain >, which HTML would have escaped
	_ = encoder.Encode(v)        // fails only when the client is gone
}
