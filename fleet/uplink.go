package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/nats-io/nats.go"
)

// maxHeartbeatBytes is the largest heartbeat that is read. That of a site with a hundred streams has 60 KiB, and
// as much again for each site that forwards to it.
const maxHeartbeatBytes = 1 << 20

// receiveHeartbeats answers the heartbeats and snapshots of edges until the fleet closes.
func (f *Fleet) receiveHeartbeats(context.Context) error {
	if f.opts.SiteEdges == nil {
		return nil
	}
	for request, handle := range map[string]func(site string, data []byte) uplink.Answer{
		contract.SubjectHeartbeat: f.handleHeartbeat,
		contract.SubjectSnapshot:  f.handlePage,
	} {
		subject := contract.SiteSubject("*", request)
		prefix := ""
		if f.opts.PublishPrefix != nil {
			prefix = f.opts.PublishPrefix(contract.SiteSubject("x", request))
		}
		_, err := f.conn.Subscribe(prefix+subject, func(m *nats.Msg) {
			site, _, _ := contract.CutSite(strings.TrimPrefix(m.Subject, prefix))
			f.answer(m, handle(site, m.Data))
		})
		if err != nil {
			return err
		}
	}
	return f.conn.Flush()
}

// answer answers a request of an edge.
func (f *Fleet) answer(m *nats.Msg, a uplink.Answer) {
	a.Site = f.opts.Site
	if a.Error != "" {
		f.logRefused(m.Subject, a.Error)
	}
	if data, err := json.Marshal(a); err == nil && m.Reply != "" {
		_ = m.Respond(data) // the edge repeats a request without an answer
	}
}

func (f *Fleet) handleHeartbeat(site string, data []byte) (a uplink.Answer) {
	var hb uplink.Heartbeat
	if err := decodeRequest(data, &hb); err != nil {
		return uplink.Answer{Error: err.Error()}
	}
	if hb.Site != site {
		return uplink.Answer{Error: fmt.Sprintf("the heartbeat of site %s names the site %q", site, hb.Site)}
	}
	f.withRegistry(func(r *registry, now time.Time) {
		if r.remotes[site] == nil {
			a.Error = "site " + site + " is not listed"
			return
		}
		a.Snapshot = r.heard(&hb, now)
	})
	return a
}

func (f *Fleet) handlePage(site string, data []byte) (a uplink.Answer) {
	var page uplink.Page
	if err := json.Unmarshal(data, &page); err != nil {
		return uplink.Answer{Error: "read the page of a snapshot: " + err.Error()}
	}
	if page.Site != site {
		return uplink.Answer{Error: fmt.Sprintf("the snapshot of site %s names the site %q", site, page.Site)}
	}
	f.withRegistry(func(r *registry, now time.Time) {
		if r.remotes[site] == nil {
			a.Error = "site " + site + " is not listed"
		} else if err := r.applyPage(&page, now); err != nil {
			a.Error = err.Error()
		}
	})
	return a
}

// decodeRequest reads a heartbeat.
func decodeRequest(data []byte, hb *uplink.Heartbeat) error {
	if len(data) > maxHeartbeatBytes {
		return fmt.Errorf("the heartbeat has %d bytes, more than %d", len(data), maxHeartbeatBytes)
	}
	if err := json.Unmarshal(data, hb); err != nil {
		return fmt.Errorf("read the heartbeat: %w", err)
	}
	return nil
}

// logRefused logs that a request of an edge was not accepted, at most once a minute.
func (f *Fleet) logRefused(subject, reason string) {
	if count, log := f.refused.Add("", 1, f.opts.Now()); log {
		_, subject, _ = strings.Cut(subject, contract.SubjectSites)
		f.opts.Log.Warn("heartbeat or snapshot of a site not accepted", "subject", contract.SubjectSites+subject,
			"error", reason, "count", count)
	}
}
