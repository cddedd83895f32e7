package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/fleet"
)

const (
	// maxFollowers is how many clients may follow events at the same time.
	maxFollowers = 100
	// defaultWriteTimeout is how long a client may take to read one part of a long answer.
	defaultWriteTimeout = 10 * time.Second
	// keepAliveInterval is how often a comment is sent to a follower, so that both sides notice
	// a connection that is gone.
	keepAliveInterval = 15 * time.Second

	eventStream = "text/event-stream"
)

// follow sends events as they are stored, see
// https://html.spec.whatwg.org/multipage/server-sent-events.html. A client that reads too slowly
// is disconnected; it resumes after the last id that it has.
func (a *api) follow(w http.ResponseWriter, r *http.Request, after uint64) {
	select {
	case a.followers <- struct{}{}:
		defer func() { <-a.followers }()
	default:
		writeError(w, CodeTooManyFollowers,
			fmt.Sprintf("%d clients follow events already, which is the maximum", cap(a.followers)))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	f := &follower{w: w, control: http.NewResponseController(w), timeout: a.writeTimeout}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	if f.write(": events of nodes\n\n") != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		f.keepAlive(ctx)
		cancel()
	})
	err := a.opts.Events.FollowEvents(ctx, after, f.send)
	if err != nil && ctx.Err() == nil {
		_ = f.write(fmt.Sprintf(": %s\n\n", strings.ReplaceAll(err.Error(), "\n", " "))) // the answer ends anyway
	}
	cancel()
	wg.Wait()
}

// follower is one client that follows events. Two goroutines write to it: one sends events, the
// other keeps the connection alive.
type follower struct {
	mu      sync.Mutex // guards w
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // for each write
}

func (f *follower) write(text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.control.SetWriteDeadline(time.Now().Add(f.timeout)) // the net/http server supports it
	if _, err := f.w.Write([]byte(text)); err != nil {
		return err
	}
	return f.control.Flush()
}

// send writes one event. An error means that the client is gone or too slow.
func (f *follower) send(e *fleet.Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return f.write(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Sequence, e.Event, data))
}

// keepAlive writes a comment every keepAliveInterval until that fails or ctx is done.
func (f *follower) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(keepAliveInterval)
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
