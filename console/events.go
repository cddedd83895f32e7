package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/fleet"
)

const (
	// mostEvents is the longest page of events, usualEvents what comes without being asked for.
	mostEvents  = 10_000
	usualEvents = 100
	// mostFollowers is how many may follow events at once.
	mostFollowers = 100
	// writeWait is how long who asked may take to read a part of an answer.
	writeWait = 10 * time.Second
	// followInterval is how often a follower hears that it is still connected.
	followInterval = 15 * time.Second
	eventStream    = "text/event-stream"
)

// events are a page, or server-sent events where those are accepted.
func (a api) events(w http.ResponseWriter, r *http.Request) {
	q, err := parseEvents(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	if followed(r) {
		if q.Latest {
			q.After = fleet.OnlyNew
		}
		a.follow(w, r, q.After)
		return
	}
	page, err := a.changes.Events(r.Context(), q)
	if err != nil {
		writeError(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	writeJSON(w, page)
}

// followed tells whether events are to be sent as they come.
func followed(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), eventStream) }

func parseEvents(r *http.Request) (q fleet.EventQuery, err error) {
	values, err := parseForm(r)
	if err != nil {
		return q, err
	}
	for key := range values {
		if key != "after" && key != "limit" && key != "since" {
			return q, fmt.Errorf("%q is nothing that events can be asked by; after, since and limit are", key)
		}
	}
	q.Limit = usualEvents
	if text := values.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > mostEvents {
			return q, fmt.Errorf("limit: want a number from 1 to %d", mostEvents)
		}
	}
	if text := values.Get("since"); text != "" {
		if q.Since, err = time.Parse(time.RFC3339, text); err != nil {
			return q, fmt.Errorf("since: %q is no time; write it as 2026-11-25T10:00:00Z", text)
		}
	}
	after := resume(r)
	q.Latest = after == "" && q.Since.IsZero()
	switch {
	case followed(r) && (values.Has("since") || values.Has("limit")):
		return q, errors.New("since and limit are of a page; server-sent events begin after a sequence")
	case after == "":
		return q, nil
	}
	if q.After, err = strconv.ParseUint(after, 10, 64); err != nil {
		return q, fmt.Errorf("after: %q is not a number", after)
	}
	if !q.Since.IsZero() {
		return q, errors.New("after and since both say where to begin; give one")
	}
	return q, nil
}

// resume is the sequence that who asks has already. A browser that comes again gives it in a
// header of its own, and asks with the same URL as the first time.
func resume(r *http.Request) string {
	return cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after"))
}

// follow sends events as they are stored, see
// https://html.spec.whatwg.org/multipage/server-sent-events.html. Who does not read is
// dropped, and goes on from the last id it has when it comes again.
func (a api) follow(w http.ResponseWriter, r *http.Request, after uint64) {
	select {
	case a.followers <- struct{}{}:
		defer func() { <-a.followers }()
	default:
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("%d follow events already", mostFollowers))
		return
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	f := &follower{w: w, control: http.NewResponseController(w), patience: a.patience}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	if f.write(": events of nodes\n\n") != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		f.keepAlive(ctx)
		end()
	})
	err := a.changes.FollowEvents(ctx, after, f.event)
	if err != nil && ctx.Err() == nil {
		_ = f.write(fmt.Sprintf(": %s\n\n", strings.ReplaceAll(err.Error(), "\n", " "))) // it ends anyway
	}
	end()
	wg.Wait()
}

// follower is who follows events. Two write: events, and that there are none.
type follower struct {
	mu       sync.Mutex
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

func (f *follower) write(text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.control.SetWriteDeadline(time.Now().Add(f.patience)) // a server can
	if _, err := f.w.Write([]byte(text)); err != nil {
		return err
	}
	return f.control.Flush()
}

func (f *follower) event(e *fleet.Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return f.write(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Sequence, e.Event, data))
}

// keepAlive writes now and then, and ends when that fails: who has gone is noticed so.
func (f *follower) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if f.write(":\n\n") != nil {
				return
			}
		}
	}
}
