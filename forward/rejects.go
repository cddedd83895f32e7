package forward

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

const (
	// maxRejectBytes is how much of a rejected message is stored, maxDetailBytes how much of the reason in words.
	maxRejectBytes = 64 << 10
	maxDetailBytes = 512
)

// rejects keeps messages that the hub will never store in the stream of rejected messages of this appliance.
type rejects struct {
	unrecorded atomic.Uint64 // that are not in the stream
}

// storeReject publishes a copy of a rejected message.
func (f *Forwarder) storeReject(stream string, m *message, reason, detail string) {
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
			contract.HeaderReceived: {f.opts.Now().UTC().Format(time.RFC3339Nano)},
			contract.HeaderSite:     {f.opts.Site},
		},
	}
	if _, err := f.js.PublishMsgAsync(copied); err != nil {
		f.rejects.unrecorded.Add(1)
	}
	f.opts.Log.Debug("message rejected by the hub",
		"stream", stream, "subject", m.target, "reason", reason, "error", detail)
}
