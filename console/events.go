package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
)

const (
	maxEvents     = 10_000 // on a page
	defaultEvents = 100    // on a page, without limit=
)

// events answers with a page of events, or with server-sent events when the client accepts
// those.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	q, err := parseEventQuery(r)
	if err != nil {
		writeError(w, CodeBadRequest, err.Error())
		return
	}
	if acceptsEventStream(r) {
		if q.Latest {
			q.After = fleet.OnlyNew
		}
		a.follow(w, r, q.After)
		return
	}
	page, err := a.opts.Events.Events(r.Context(), q)
	if err != nil {
		writeError(w, CodeUnavailable, err.Error())
		return
	}
	writeJSON(w, page)
}

// acceptsEventStream reports whether the client wants events as they are stored.
func acceptsEventStream(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), eventStream)
}

// parseEventQuery reads the parameters of /api/v1/events. Without a position the query asks for
// the latest events.
func parseEventQuery(r *http.Request) (q fleet.EventQuery, err error) {
	values, err := parseParams(r)
	if err != nil {
		return q, err
	}
	for key := range values {
		if key != "after" && key != "since" && key != "limit" {
			return q, fmt.Errorf("unknown parameter %q; events can be selected by after, since and limit", key)
		}
	}
	q.Limit = defaultEvents
	if text := values.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > maxEvents {
			return q, fmt.Errorf("limit=%q is not a number from 1 to %d", text, maxEvents)
		}
	}
	if text := values.Get("since"); text != "" {
		if q.Since, err = time.Parse(time.RFC3339, text); err != nil {
			return q, fmt.Errorf("since=%q is not a time; write it as 2026-11-25T10:00:00Z", text)
		}
	}
	after := resumeAfter(r)
	q.Latest = after == "" && q.Since.IsZero()
	switch {
	case acceptsEventStream(r) && (values.Has("since") || values.Has("limit")):
		return q, errors.New("server-sent events take neither since nor limit; give after, a sequence")
	case after == "":
		return q, nil
	}
	if q.After, err = strconv.ParseUint(after, 10, 64); err != nil {
		return q, fmt.Errorf("after=%q is not a sequence number", after)
	}
	if !q.Since.IsZero() {
		return q, errors.New("after and since are both start positions; give one of them")
	}
	return q, nil
}

// resumeAfter returns the sequence of the last event that the client has. A browser that
// reconnects repeats the URL of its first request and adds Last-Event-ID, so the header wins.
func resumeAfter(r *http.Request) string {
	return cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after"))
}
