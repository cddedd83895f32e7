package adapter

import "time"

// overhead is what a pending message takes beside its bytes: its headers, its places in
// the queue, in its sender's lane and among the unanswered.
const overhead = 1 << 10

// message is one that was received and has no verdict yet.
type message struct {
	subject  string    // where it was published
	raw      []byte    // as it came; kept until it is stored, for it may yet be rejected
	received time.Time // the site's clock
	held     int64     // bytes counted against the buffer

	parsed bool
	sender string
	out    *output // what is to be stored; nil where reason is set
	reason string  // why it is rejected
	detail string

	tries int       // how often it was published
	sent  time.Time // when last
}

// heldFor is what a message of that size is counted as when it has just come.
func heldFor(size int) int64 { return int64(size) + overhead }
