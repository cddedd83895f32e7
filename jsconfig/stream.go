// Package jsconfig declares streams and buckets and brings them into being: it compares
// what is declared with what is there and makes the difference. It never touches what is
// not declared, and deletes no message unless it is told to.
package jsconfig

import (
	"math"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats.go/jetstream"
)

// most is the largest age, size or count that a limit may be.
const (
	mostAge   = 100 * 365 * 24 * time.Hour
	mostCount = math.MaxInt64
	mostBytes = 1 << 60
)

// Stream is a [stream.NAME] table, in NATS's names for the fields. Limits of 0 or -1 are none.
type Stream struct {
	Name                 string
	Enabled              bool
	Description          string
	Subjects             []string
	Storage              string
	Retention            string
	MaxAge               time.Duration
	MaxBytes             int64
	MaxMsgs              int64
	MaxMsgsPerSubject    int64
	MaxMsgSize           int64
	Discard              string
	DiscardNewPerSubject bool
	DuplicateWindow      time.Duration
	Replicas             int64
	Compression          string
	AllowDirect          bool
	NoAck                bool
	AllowRollup          bool
	DenyDelete           bool
	DenyPurge            bool
	Transform            Transform
}

// NewStream is a stream as NATS makes one when nothing but its name is said.
func NewStream(name string) *Stream {
	return &Stream{
		Name: name, Enabled: true, Storage: "file", Retention: "limits", Discard: "old", Compression: "none", Replicas: 1,
		MaxBytes: -1, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
	}
}

// Keys lists the keys of [stream.NAME].
func (s *Stream) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&s.Enabled), Help: "false: leave the stream to others"},
		{Name: "description", Value: config.String(&s.Description), Help: "free text"},
		{Name: "subjects", Value: config.Strings(&s.Subjects), Help: "subjects that the stream stores"},
		{Name: "storage", Value: config.OneOf(&s.Storage, "file", "memory"), Help: "file or memory"},
		{Name: "retention", Value: config.OneOf(&s.Retention, "limits", "interest", "workqueue"), Help: "limits, interest or workqueue"},
		{Name: "max_age", Value: config.Duration(&s.MaxAge, 0, mostAge), Help: "oldest message that is kept; 0 for ever"},
		{Name: "max_bytes", Value: config.Size(&s.MaxBytes, -1, mostBytes), Help: "most that the stream takes; -1 unlimited"},
		{Name: "max_msgs", Value: config.Int(&s.MaxMsgs, -1, mostCount), Help: "most messages; -1 unlimited"},
		{Name: "max_msgs_per_subject", Value: config.Int(&s.MaxMsgsPerSubject, -1, mostCount), Help: "most messages of one subject; -1 unlimited"},
		{Name: "max_msg_size", Value: config.Size(&s.MaxMsgSize, -1, 64<<20), Help: "largest message; -1 unlimited"},
		{Name: "discard", Value: config.OneOf(&s.Discard, "old", "new"), Help: "what goes at a limit: old messages, or new ones are refused"},
		{Name: "discard_new_per_subject", Value: config.Bool(&s.DiscardNewPerSubject), Help: "discard = \"new\" also at max_msgs_per_subject"},
		{Name: "duplicate_window", Value: config.Duration(&s.DuplicateWindow, 0, mostAge), Help: "how long a message id is remembered; 0: NATS's 2m"},
		{Name: "replicas", Value: config.Int(&s.Replicas, 1, 5), Help: "copies, in a cluster"},
		{Name: "compression", Value: config.OneOf(&s.Compression, "none", "s2"), Help: "none or s2"},
		{Name: "allow_direct", Value: config.Bool(&s.AllowDirect), Help: "let readers get single messages from any copy"},
		{Name: "allow_rollup_hdrs", Value: config.Bool(&s.AllowRollup), Help: "let a message replace all before it"},
		{Name: "no_ack", Value: config.Bool(&s.NoAck), Help: "who publishes gets no answer"},
		{Name: "deny_delete", Value: config.Bool(&s.DenyDelete), Help: "nobody may delete single messages; cannot be undone"},
		{Name: "deny_purge", Value: config.Bool(&s.DenyPurge), Help: "nobody may purge the stream; cannot be undone"},
		{Name: "subject_transform", Value: config.Sub(&s.Transform), Help: "store messages under another subject"},
	}
}

// Validate holds the rules that NATS has for the fields of a stream.
func (s *Stream) Validate(c *config.Check) {
	if !s.Enabled {
		return
	}
	if !contract.ValidName(s.Name) {
		c.Problem("", "%q is no name for a stream; use A-Z, a-z, 0-9, _ and -", s.Name)
	}
	if len(s.Subjects) == 0 {
		c.Problem("subjects", "none; name what the stream stores, such as [\"fleet.>\"]")
	}
	s.validateSubjects(c)
	if strings.HasPrefix(s.Name, bucketPrefix) {
		c.Problem("", "streams named %s… belong to buckets; declare [bucket.%s]", bucketPrefix, strings.TrimPrefix(s.Name, bucketPrefix))
	}
	if s.Replicas > 1 {
		c.Problem("replicas", "%d copies need a cluster, and this is one server; write 1", s.Replicas)
	}
	if s.DiscardNewPerSubject && (s.Discard != "new" || s.MaxMsgsPerSubject <= 0) {
		c.Problem("discard_new_per_subject", "true has no effect without discard = \"new\" and max_msgs_per_subject")
	}
	if s.MaxAge > 0 && s.MaxAge < 100*time.Millisecond {
		c.Problem("max_age", "%s is too short; NATS wants at least 100ms", s.MaxAge)
	}
	if s.MaxAge > 0 && s.DuplicateWindow > s.MaxAge {
		c.Problem("duplicate_window", "%s is longer than max_age, %s",
			config.FormatDuration(s.DuplicateWindow), config.FormatDuration(s.MaxAge))
	}
	if s.DenyPurge && s.AllowRollup {
		c.Problem("deny_purge", "true cannot go with allow_rollup_hdrs = true, which purges")
	}
}

func (s *Stream) validateSubjects(c *config.Check) {
	for n, text := range s.Subjects {
		if err := subject.Check(text); err != nil {
			c.Problem("subjects", "%s", err)
			continue
		}
		for _, other := range s.Subjects[:n] {
			if subject.Overlap(text, other) {
				c.Problem("subjects", "%q overlaps %q; one of them is enough, or make them apart", text, other)
			}
		}
		for _, own := range []string{"$JS.API.>", "$JS.ACK.>", "$SYS.>"} {
			if subject.Overlap(text, own) {
				c.Problem("subjects", "%q overlaps %q, which the server keeps to itself", text, own)
			}
		}
	}
}

// Transform is a [stream.NAME.subject_transform] table.
type Transform struct{ Source, Destination string }

// Keys lists the keys of subject_transform.
func (t *Transform) Keys() []config.Key {
	return []config.Key{
		{Name: "src", Value: config.String(&t.Source), Help: "subjects to change"},
		{Name: "dest", Value: config.String(&t.Destination), Help: "what they become"},
	}
}

// Validate wants both or none.
func (t *Transform) Validate(c *config.Check) {
	if (t.Source == "") != (t.Destination == "") {
		c.Problem("", "needs both src and dest")
	}
}

// config is the stream as the server will report it once it is made.
func (s *Stream) config() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:                 s.Name,
		Description:          s.Description,
		Subjects:             s.Subjects,
		MaxAge:               s.MaxAge,
		MaxBytes:             unlimited(s.MaxBytes),
		MaxMsgs:              unlimited(s.MaxMsgs),
		MaxMsgsPerSubject:    unlimited(s.MaxMsgsPerSubject),
		MaxMsgSize:           int32(unlimited(s.MaxMsgSize)),
		MaxConsumers:         -1,
		DiscardNewPerSubject: s.DiscardNewPerSubject,
		Duplicates:           duplicateWindow(s.DuplicateWindow, s.MaxAge),
		Replicas:             int(s.Replicas),
		AllowDirect:          s.AllowDirect,
		NoAck:                s.NoAck,
		AllowRollup:          s.AllowRollup,
		DenyDelete:           s.DenyDelete,
		DenyPurge:            s.DenyPurge,
	}
	if s.Transform.Source != "" {
		c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: s.Transform.Source, Destination: s.Transform.Destination}
	}
	if s.Storage == "memory" {
		c.Storage = jetstream.MemoryStorage
	}
	if s.Discard == "new" {
		c.Discard = jetstream.DiscardNew
	}
	if s.Compression == "s2" {
		c.Compression = jetstream.S2Compression
	}
	switch s.Retention {
	case "interest":
		c.Retention = jetstream.InterestPolicy
	case "workqueue":
		c.Retention = jetstream.WorkQueuePolicy
	}
	return c
}

// unlimited is how the server writes a limit that is none.
func unlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

// duplicateWindow is the declared one, or else what the server takes: 2m, at most max_age.
func duplicateWindow(declared, maxAge time.Duration) time.Duration {
	if declared > 0 {
		return declared
	}
	window := 2 * time.Minute
	if maxAge > 0 {
		window = min(window, maxAge)
	}
	return window
}
