package broker

import (
	"cmp"
	"slices"

	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/nats-io/nats-server/v2/server"
)

// recordOverhead is what the store needs for a message in addition to its data and headers, at most:
// the subject and a header of the record.
const recordOverhead = 64 << 10

// Streams returns the state of each stream that is stored in files. It asks the server directly:
// requests would be stored in streams of advisories. ok is false while the store is closed or
// being opened.
func (b *Broker) Streams() (streams []integrity.Stream, ok bool) {
	if !b.storeOpen.TryRLock() {
		return nil, false
	}
	defer b.storeOpen.RUnlock()
	b.metasMu.Lock()
	defer b.metasMu.Unlock()
	jsz, err := b.srv.Jsz(&server.JSzOptions{Account: account, Streams: true, Consumer: true, Config: true})
	if err != nil || !b.srv.JetStreamEnabled() {
		return nil, false
	}
	for _, a := range jsz.AccountDetails {
		for _, d := range a.Streams {
			if d.Config != nil && d.Config.Storage == server.FileStorage {
				streams = append(streams, b.streamState(&d))
			}
		}
	}
	slices.SortFunc(streams, func(x, y integrity.Stream) int { return cmp.Compare(x.Name, y.Name) })
	return streams, true
}

func (b *Broker) streamState(d *server.StreamDetail) integrity.Stream {
	c, state := d.Config, d.State
	maxMsgSize := int64(c.MaxMsgSize)
	if maxMsgSize <= 0 {
		maxMsgSize = b.cfg.MaxPayload
	}
	s := integrity.Stream{
		Name: d.Name, Created: d.Created,
		First: state.FirstSeq, Last: state.LastSeq, LastTime: state.LastTime,
		Messages: state.Msgs, Bytes: state.Bytes,
		Limits: integrity.Limits{
			MaxAge: c.MaxAge, MaxMsgs: c.MaxMsgs, MaxBytes: c.MaxBytes, MaxPerSubject: c.MaxMsgsPer,
			MaxMsgSize: maxMsgSize + recordOverhead, DiscardNew: c.Discard == server.DiscardNew,
			Replaces: c.AllowRollup,
			Transient: c.Retention != server.LimitsPolicy || c.AllowMsgTTL ||
				c.SubjectDeleteMarkerTTL > 0 || c.AllowMsgSchedules,
		},
		Meta: b.metas.read(b.streamDir(d.Name), d.Name),
	}
	if s.Messages == 0 && s.First <= s.Last {
		s.First = s.Last + 1
	}
	for _, consumer := range d.Consumer {
		if consumer.Config == nil || consumer.Config.Durable == "" || consumer.Config.InactiveThreshold > 0 ||
			consumer.Config.MemoryStorage {
			continue
		}
		s.Consumers = append(s.Consumers, integrity.Consumer{
			Name: consumer.Name, AckFloor: consumer.AckFloor.Stream, Delivered: consumer.Delivered.Stream,
			Meta: b.metas.read(b.consumerDir(d.Name, consumer.Name), d.Name+"/"+consumer.Name),
		})
	}
	slices.SortFunc(s.Consumers, func(x, y integrity.Consumer) int { return cmp.Compare(x.Name, y.Name) })
	return s
}
