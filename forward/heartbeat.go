package forward

import (
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// snapshotPage is how many nodes a page of a snapshot has.
	snapshotPage = 500
	// heartbeatCheck is how often it is checked whether a heartbeat is due.
	heartbeatCheck = 250 * time.Millisecond
	// unansweredInterval is how often it is logged at most that heartbeats are not answered: a hub whose fleet view is
	// disabled answers none.
	unansweredInterval = time.Hour
)

// heartbeats counts the heartbeats, and the snapshots, that the hub has answered.
type heartbeats struct {
	answered  atomic.Uint64
	last      atomic.Int64 // when the last was answered, in nanoseconds since 1970
	snapshots atomic.Uint64
	due       atomic.Bool // send one at once

	unanswered *throttle.Throttle // of log lines
}

// sendHeartbeats tells the hub about the site until the forwarder closes: when the link is up, and every interval.
func (f *Forwarder) sendHeartbeats() {
	var sent time.Time
	ticker := time.NewTicker(heartbeatCheck)
	defer ticker.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
		}
		now := f.opts.Now()
		due := f.beat.due.Load() || now.Sub(sent) >= f.cfg.Heartbeat || now.Before(sent)
		if !due || !f.events.isUp() {
			continue
		}
		sent = now
		f.beat.due.Store(false)
		answer, err := f.ask(contract.SubjectHeartbeat, f.heartbeat(now))
		if err != nil {
			if count, log := f.beat.unanswered.Add("", 1, now); log {
				f.opts.Log.Warn("heartbeat not answered by the hub", "error", err, "count", count)
			}
			continue
		}
		f.beat.answered.Add(1)
		f.beat.last.Store(now.UnixNano())
		f.noteHub(answer.Site)
		if answer.Snapshot {
			f.sendSnapshot()
		}
	}
}

// heartbeat describes this site.
func (f *Forwarder) heartbeat(now time.Time) uplink.Heartbeat {
	h := uplink.Heartbeat{
		Site: f.opts.Site, Version: f.opts.Version, Time: now.UTC(), Interval: f.cfg.Heartbeat.Seconds(),
		Adapters: f.opts.Adapters(), Streams: map[string]uplink.Stream{}, Disk: f.opts.Disk(),
	}
	if f.opts.Fleet != nil {
		var waiting int
		h.Nodes, waiting = f.opts.Fleet.Counts()
		h.Events = uint64(waiting)
	}
	if f.opts.Sites != nil {
		h.Sites = f.opts.Sites()
	}
	for _, c := range f.copiers {
		c.refresh(f.ctx)
		s := c.status(now)
		h.Streams[c.cfg.Name] = s
		if !c.isData {
			h.Incarnation = c.incarnation()
			h.Events += s.Pending + s.Unread
		}
	}
	return h
}

// errNoAnswer is returned for a request to the hub's fleet view that was not answered.
var errNoAnswer = errors.New("the fleet view of the hub does not answer")

// ask sends a request to the fleet view of the hub, and returns the answer.
func (f *Forwarder) ask(what string, body any) (answer uplink.Answer, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return answer, err
	}
	replies := make(chan reply, 1)
	subject := contract.SiteSubject(f.opts.Site, what)
	if err := f.events.request(subject, nil, data, func(r reply) { replies <- r }); err != nil {
		return answer, err
	}
	var r reply
	select {
	case r = <-replies:
	case <-f.ctx.Done():
		return answer, f.ctx.Err()
	}
	switch {
	case r.err != nil:
		return answer, r.err
	case r.status != "":
		return answer, errNoAnswer
	}
	if err := json.Unmarshal(r.data, &answer); err != nil {
		return answer, err
	}
	if answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return answer, err
}

// sendSnapshot sends the states of all nodes, page by page. If a page is not answered, the hub asks again.
func (f *Forwarder) sendSnapshot() {
	if f.opts.Fleet == nil {
		return
	}
	id := randomID()
	after := ""
	for number := 0; ; number++ {
		page := uplink.Page{Site: f.opts.Site, ID: id, Number: number, Incarnation: f.eventIncarnation()}
		sequence, err := f.lastEvent()
		if err != nil {
			f.opts.Log.Debug("snapshot not sent", "error", err)
			return
		}
		page.Sequence = sequence
		page.Nodes, after = f.opts.Fleet.SnapshotPage(after, snapshotPage)
		page.Last = after == ""
		if _, err := f.ask(contract.SubjectSnapshot, page); err != nil {
			f.opts.Log.Debug("snapshot not answered", "error", err)
			return
		}
		if page.Last {
			f.beat.snapshots.Add(1)
			return
		}
	}
}

// eventIncarnation returns the incarnation of the stream of events; empty if it is not forwarded.
func (f *Forwarder) eventIncarnation() string {
	for _, c := range f.copiers {
		if !c.isData {
			return c.incarnation()
		}
	}
	return ""
}

// lastEvent returns the sequence of the last event of the fleet view.
func (f *Forwarder) lastEvent() (uint64, error) {
	s, err := f.js.Stream(f.ctx, contract.StreamFleet)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}
