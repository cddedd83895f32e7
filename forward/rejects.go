package forward

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxRejectBytes is how much of a rejected message is stored, maxDetailBytes how much of the reason in words.
	maxRejectBytes = 64 << 10
	maxDetailBytes = 512
)

// rejects keeps messages that the hub will never store in the stream of rejected messages of this appliance.
type rejects struct {
	unrecorded atomic.Uint64      // that are not in the stream
	logged     *throttle.Throttle // by stream and reason
}

func newRejects() *rejects { return &rejects{logged: throttle.New(time.Minute)} }

// noteUnrecorded counts a copy of a rejected message that was not stored.
func (f *Forwarder) noteUnrecorded(jetstream.JetStream, *nats.Msg, error) {
	f.rejects.unrecorded.Add(1)
}

// storeReject logs that a message was rejected, and publishes a copy of it.
func (f *Forwarder) storeReject(stream string, m *message, reason, detail string) {
	now := f.opts.Now()
	if count, log := f.rejects.logged.Add(stream+" "+reason, 1, now); log {
		f.opts.Log.Warn("messages rejected by the hub",
			"stream", stream, "subject", m.target, "reason", reason, "error", detail, "count", count)
	}
	if stream == contract.StreamRejected { // its copy would be forwarded, and rejected, again
		return
	}
	subject := contract.SubjectRejected + "forward-" + f.cfg.Name + "." + reason
	copied := &nats.Msg{
		Subject: f.opts.PublishPrefix(subject) + subject,
		Data:    m.data[:min(len(m.data), maxRejectBytes)],
		Header: nats.Header{
			contract.HeaderReason:   {reason},
			contract.HeaderDetail:   {detail[:min(len(detail), maxDetailBytes)]},
			contract.HeaderSubject:  {m.target},
			contract.HeaderSize:     {strconv.Itoa(len(m.data))},
			contract.HeaderReceived: {now.UTC().Format(time.RFC3339Nano)},
			contract.HeaderSite:     {f.opts.Site},
		},
	}
	if _, err := f.js.PublishMsgAsync(copied); err != nil {
		f.rejects.unrecorded.Add(1)
	}
}
