package jsconfig

import (
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
)

// bucketPrefix is how NATS names the stream behind a key-value bucket.
const bucketPrefix = "KV_"

// Bucket is a [bucket.NAME] table: a NATS key-value bucket.
type Bucket struct {
	Name         string
	Enabled      bool
	Description  string
	TTL          time.Duration
	History      int64
	MaxBytes     int64
	MaxValueSize int64
	Storage      string
	Replicas     int64
}

// NewBucket is a bucket as NATS makes one when nothing but its name is said.
func NewBucket(name string) *Bucket {
	return &Bucket{Name: name, Enabled: true, History: 1, MaxBytes: -1, MaxValueSize: -1, Storage: "file", Replicas: 1}
}

// Keys lists the keys of [bucket.NAME].
func (b *Bucket) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&b.Enabled), Help: "false: leave the bucket to others"},
		{Name: "description", Value: config.String(&b.Description), Help: "free text"},
		{Name: "ttl", Value: config.Duration(&b.TTL, 0, mostAge), Help: "how long a value is kept; 0 for ever"},
		{Name: "history", Value: config.Int(&b.History, 1, 64), Help: "how many values of a key are kept"},
		{Name: "max_bytes", Value: config.Size(&b.MaxBytes, -1, mostBytes), Help: "most that the bucket takes; -1 unlimited"},
		{Name: "max_value_size", Value: config.Size(&b.MaxValueSize, -1, 64<<20), Help: "largest value; -1 unlimited"},
		{Name: "storage", Value: config.OneOf(&b.Storage, "file", "memory"), Help: "file or memory"},
		{Name: "replicas", Value: config.Int(&b.Replicas, 1, 5), Help: "copies, in a cluster"},
	}
}

// Validate checks the name; all else is checked key by key.
func (b *Bucket) Validate(c *config.Check) {
	if b.Enabled && !contract.ValidName(b.Name) {
		c.Problem("", "%q is no name for a bucket; use A-Z, a-z, 0-9, _ and -", b.Name)
	}
}

// stream is what a bucket is made of.
// See https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md.
func (b *Bucket) stream() *Stream {
	s := NewStream(bucketPrefix + b.Name)
	s.Enabled = b.Enabled
	s.Description = b.Description
	s.Subjects = []string{"$KV." + b.Name + ".>"}
	s.MaxAge = b.TTL
	s.MaxMsgsPerSubject = b.History
	s.MaxBytes = b.MaxBytes
	s.MaxMsgSize = b.MaxValueSize
	s.Storage = b.Storage
	s.Replicas = b.Replicas
	s.Discard = "new"
	s.DenyDelete = true
	s.AllowRollup = true
	s.AllowDirect = true
	return s
}
