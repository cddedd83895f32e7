package adapter

import (
	"errors"
	"testing"
	"time"
)

func TestPublisher_ReportsEachAckOnce(t *testing.T) {
	p := &publisher{callbacks: map[uint64]func(pubAck){}}
	var acks []error
	now := time.Unix(1000, 0)
	for token := range uint64(3) {
		p.callbacks[token] = func(ack pubAck) { acks = append(acks, ack.err) }
		p.deadlines = append(p.deadlines, deadline{token, now.Add(ackWait)})
	}
	p.finish(1, pubAck{})
	p.finish(1, pubAck{err: errNoAck}) // too late
	p.expire(now)
	if len(acks) != 1 || acks[0] != nil {
		t.Fatalf("have %v", acks)
	}
	p.expire(now.Add(ackWait))
	p.expire(now.Add(ackWait))
	if len(acks) != 3 || !errors.Is(acks[2], errNoAck) || len(p.callbacks)+len(p.deadlines) != 0 {
		t.Errorf("have %v", acks)
	}
}
