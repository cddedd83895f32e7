package jsconfig

import (
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
)

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

// NewBucket returns a bucket with NATS's defaults.
func NewBucket(name string) *Bucket {
	return &Bucket{Name: name, Enabled: true, History: 1, MaxBytes: -1, MaxValueSize: -1, Storage: "file", Replicas: 1}
}

// Keys lists the keys of [bucket.NAME].
func (b *Bucket) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&b.Enabled), Help: "false: do not create or change the bucket"},
		{Name: "description", Value: config.String(&b.Description), Help: "free text"},
		{Name: "ttl", Value: config.Duration(&b.TTL, 0, maxAge), Help: "how long a value is kept; 0: unlimited"},
		{Name: "history", Value: config.Int(&b.History, 1, 64), Help: "values kept of each key"},
		{Name: "max_bytes", Value: config.Size(&b.MaxBytes, -1, maxBytes), Help: "largest size of the bucket; -1: unlimited"},
		{Name: "max_value_size", Value: config.Size(&b.MaxValueSize, -1, 64<<20), Help: "largest value; -1: unlimited"},
		{Name: "storage", Value: config.OneOf(&b.Storage, "file", "memory"), Help: "file or memory"},
		{Name: "replicas", Value: config.Int(&b.Replicas, 1, 5), Help: "number of copies in a cluster"},
	}
}

// Validate checks the name. The keys are checked one by one when they are set.
func (b *Bucket) Validate(c *config.Check) {
	if b.Enabled && !contract.ValidName(b.Name) {
		c.Problem("", "%q is not a valid name for a bucket; use 1 to 64 of A-Z, a-z, 0-9, _ and -", b.Name)
	}
}

// stream returns the stream behind the bucket.
// See https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md.
func (b *Bucket) stream() *Stream {
	s := NewStream(contract.PrefixBucketStream + b.Name)
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
