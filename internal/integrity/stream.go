// Package integrity compares the streams with a record of them that is kept outside the store, and
// returns what is missing. It reads and writes only the file of the record, and knows no server.
package integrity

import "time"

// Stream is the state of one stream at one time.
type Stream struct {
	Name      string     `json:"name"`
	Created   time.Time  `json:"created"`
	First     uint64     `json:"first"` // sequence of the oldest message; Last+1 if there is none
	Last      uint64     `json:"last"`  // sequence of the newest message ever stored
	LastTime  time.Time  `json:"last_time"`
	Messages  uint64     `json:"messages"`
	Bytes     uint64     `json:"bytes"`
	Limits    Limits     `json:"limits"`
	Consumers []Consumer `json:"consumers,omitempty"` // durable ones
	Meta      string     `json:"meta,omitempty"`      // the file with its configuration; empty: not known
}

// Limits are the limits of a stream that remove messages. A limit of 0 or less is none.
type Limits struct {
	MaxAge        time.Duration `json:"max_age,omitempty"`
	MaxMsgs       int64         `json:"max_msgs,omitempty"`
	MaxBytes      int64         `json:"max_bytes,omitempty"`
	MaxPerSubject int64         `json:"max_msgs_per_subject,omitempty"`
	MaxMsgSize    int64         `json:"max_msg_size,omitempty"` // with the record around it; never 0
	DiscardNew    bool          `json:"discard_new,omitempty"`
	// Replaces: a new message may remove any number of older ones (Nats-Rollup).
	Replaces bool `json:"replaces,omitempty"`
	// Transient: messages may leave at any time: with their own TTL, or once they are acknowledged.
	Transient bool `json:"transient,omitempty"`
}

// tightened reports whether a limit is lower than in before: lowering it removes messages.
func (l Limits) tightened(before Limits) bool {
	lower := func(now, before int64) bool { return now > 0 && (before <= 0 || now < before) }
	return lower(int64(l.MaxAge), int64(before.MaxAge)) || lower(l.MaxMsgs, before.MaxMsgs) ||
		lower(l.MaxBytes, before.MaxBytes) || lower(l.MaxPerSubject, before.MaxPerSubject)
}

// Consumer is the state of a durable consumer.
type Consumer struct {
	Name      string `json:"name"`
	AckFloor  uint64 `json:"ack_floor"` // sequence in the stream; everything up to it is acknowledged
	Delivered uint64 `json:"delivered"` // sequence in the stream
	Meta      string `json:"meta,omitempty"`
}

// find returns the consumer of that name.
func (s *Stream) find(name string) (Consumer, bool) {
	for _, c := range s.Consumers {
		if c.Name == name {
			return c, true
		}
	}
	return Consumer{}, false
}

// sub returns a-b, but at least 0.
func sub(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}
