package adapter

import (
	"errors"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/puback"
)

func TestPublisher_ReportsEachAckOnce(t *testing.T) {
	p := &publisher{callbacks: map[uint64]func(puback.Ack){}}
	var acks []error
	now := time.Unix(1000, 0)
	for token := range uint64(3) {
		p.callbacks[token] = func(ack puback.Ack) { acks = append(acks, ack.Err) }
		p.deadlines = append(p.deadlines, deadline{token, now.Add(ackWait)})
	}
	p.finish(1, puback.Ack{})
	p.finish(1, puback.Ack{Err: puback.ErrNoAck}) // too late
	p.expire(now)
	if len(acks) != 1 || acks[0] != nil {
		t.Fatalf("have %v", acks)
	}
	p.expire(now.Add(ackWait))
	p.expire(now.Add(ackWait))
	if len(acks) != 3 || !errors.Is(acks[2], puback.ErrNoAck) || len(p.callbacks)+len(p.deadlines) != 0 {
		t.Errorf("have %v", acks)
	}
}
