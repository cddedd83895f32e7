// Package jsconfig makes JetStream's streams and buckets match the configuration.
// Plan compares the declared streams with the existing ones, Apply makes the changes. It
// changes no stream that is not declared, and deletes messages only if the caller allows it.
package jsconfig

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats.go/jetstream"
)

// The largest age, count and size that the configuration accepts for a limit.
const (
	maxAge   = 100 * 365 * 24 * time.Hour
	maxCount = math.MaxInt64
	maxBytes = 1 << 60
)

// Stream is a [stream.NAME] table, with NATS's names for the fields. Limits of 0 or -1 mean
// unlimited.
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

// NewStream returns a stream with NATS's defaults.
func NewStream(name string) *Stream {
	return &Stream{
		Name:              name,
		Enabled:           true,
		Storage:           "file",
		Retention:         "limits",
		MaxBytes:          -1,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        -1,
		Discard:           "old",
		Replicas:          1,
		Compression:       "none",
	}
}

// Keys lists the keys of [stream.NAME].
func (s *Stream) Keys() []config.Key {
	return []config.Key{
		{Name: "enabled", Value: config.Bool(&s.Enabled), Help: "false: do not create or change the stream"},
		{Name: "description", Value: config.String(&s.Description), Help: "free text"},
		{Name: "subjects", Value: config.Strings(&s.Subjects), Help: "subjects that the stream stores"},
		{Name: "storage", Value: config.OneOf(&s.Storage, "file", "memory"), Help: "file or memory"},
		{Name: "retention", Value: config.OneOf(&s.Retention, "limits", "interest", "workqueue"),
			Help: "limits, interest or workqueue"},
		{Name: "max_age", Value: config.Duration(&s.MaxAge, 0, maxAge),
			Help: "how long a message is kept; 0: unlimited"},
		{Name: "max_bytes", Value: config.Size(&s.MaxBytes, -1, maxBytes),
			Help: "largest size of the stream; -1: unlimited"},
		{Name: "max_msgs", Value: config.Int(&s.MaxMsgs, -1, maxCount), Help: "most messages kept; -1: unlimited"},
		{Name: "max_msgs_per_subject", Value: config.Int(&s.MaxMsgsPerSubject, -1, maxCount),
			Help: "most messages kept of each subject; -1: unlimited"},
		{Name: "max_msg_size", Value: config.Size(&s.MaxMsgSize, -1, 64<<20), Help: "largest message; -1: unlimited"},
		{Name: "discard", Value: config.OneOf(&s.Discard, "old", "new"),
			Help: "at a limit: old deletes old messages, new refuses new ones"},
		{Name: "discard_new_per_subject", Value: config.Bool(&s.DiscardNewPerSubject),
			Help: "true: discard = \"new\" applies at max_msgs_per_subject too"},
		{Name: "duplicate_window", Value: config.Duration(&s.DuplicateWindow, 0, maxAge),
			Help: "how long a message id is remembered; 0: NATS's default, 2m"},
		{Name: "replicas", Value: config.Int(&s.Replicas, 1, 5), Help: "number of copies in a cluster"},
		{Name: "compression", Value: config.OneOf(&s.Compression, "none", "s2"), Help: "none or s2"},
		{Name: "allow_direct", Value: config.Bool(&s.AllowDirect),
			Help: "true: readers may use Direct Get"},
		{Name: "allow_rollup_hdrs", Value: config.Bool(&s.AllowRollup),
			Help: "true: a message may replace all earlier ones (Nats-Rollup)"},
		{Name: "no_ack", Value: config.Bool(&s.NoAck), Help: "true: publishers get no ack; adapters need acks"},
		{Name: "deny_delete", Value: config.Bool(&s.DenyDelete),
			Help: "true: single messages cannot be deleted; cannot be undone"},
		{Name: "deny_purge", Value: config.Bool(&s.DenyPurge),
			Help: "true: the stream cannot be purged; cannot be undone"},
		{Name: "subject_transform", Value: config.SubTable(&s.Transform), Help: "store messages under another subject"},
	}
}

// Validate checks the rules that NATS has for the fields of a stream. A stream that is not
// enabled is not checked.
func (s *Stream) Validate(c *config.Check) {
	if !s.Enabled {
		return
	}
	if !contract.ValidName(s.Name) {
		c.Problem("", "%q is not a valid name for a stream; use 1 to 64 of A-Z, a-z, 0-9, _ and -", s.Name)
	}
	if len(s.Subjects) == 0 {
		c.Problem("subjects", "no subjects; name at least one that the stream stores, such as [\"fleet.>\"]")
	}
	s.validateSubjects(c)
	if strings.HasPrefix(s.Name, contract.PrefixBucketStream) {
		c.Problem("", "streams whose names begin with %s belong to buckets; declare [bucket.%s]",
			contract.PrefixBucketStream, strings.TrimPrefix(s.Name, contract.PrefixBucketStream))
	}
	if s.Replicas > 1 {
		c.Problem("replicas", "%d copies need a cluster, but this is a single server; write 1", s.Replicas)
	}
	if s.DiscardNewPerSubject && (s.Discard != "new" || s.MaxMsgsPerSubject <= 0) {
		c.Problem("discard_new_per_subject", "true has no effect without discard = \"new\" and max_msgs_per_subject")
	}
	if s.MaxAge > 0 && s.MaxAge < 100*time.Millisecond {
		c.Problem("max_age", "%s is too short; NATS requires at least 100ms", s.MaxAge)
	}
	if s.MaxAge > 0 && s.DuplicateWindow > s.MaxAge {
		c.Problem("duplicate_window", "%s is longer than max_age, %s",
			config.FormatDuration(s.DuplicateWindow), config.FormatDuration(s.MaxAge))
	}
	if s.DenyPurge && s.AllowRollup {
		c.Problem("deny_purge", "true cannot be combined with allow_rollup_hdrs = true, which purges the stream")
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
				c.Problem("subjects", "%q overlaps %q; remove one, or change them so that no message matches both", text, other)
			}
		}
		if text != allAdvisories && subject.Overlap(text, contract.SubjectAPIAdvisory) {
			c.Problem("subjects", "%q includes %s, which has the write token; write %q for the other advisories",
				text, contract.SubjectAPIAdvisory, contract.SubjectsAdvisory)
		}
		for _, own := range []string{"$JS.API.>", "$JS.ACK.>", "$SYS.>"} {
			if subject.Overlap(text, own) {
				c.Problem("subjects", "%q overlaps %q, which is reserved for the server", text, own)
			}
		}
	}
}

// allAdvisories is the subject that a Choria broker stores advisories of. It includes the requests to
// JetStream's API, with the write token, see internal/privatestream: those are not stored.
const allAdvisories = "$JS.EVENT.ADVISORY.>"

// storedSubjects returns the subjects, with allAdvisories narrowed.
func (s *Stream) storedSubjects() []string {
	stored := slices.Clone(s.Subjects)
	for i, text := range stored {
		if text == allAdvisories {
			stored[i] = contract.SubjectsAdvisory
		}
	}
	return stored
}

// Transform is a [stream.NAME.subject_transform] table.
type Transform struct{ Source, Destination string }

// Keys lists the keys of subject_transform.
func (t *Transform) Keys() []config.Key {
	return []config.Key{
		{Name: "src", Value: config.String(&t.Source), Help: "subjects to transform"},
		{Name: "dest", Value: config.String(&t.Destination), Help: "subject under which messages are stored"},
	}
}

// Validate requires both keys or neither.
func (t *Transform) Validate(c *config.Check) {
	if (t.Source == "") != (t.Destination == "") {
		c.Problem("", "needs both src and dest")
	}
}

// config returns the stream as the server reports it once it exists.
func (s *Stream) config() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:                 s.Name,
		Description:          s.Description,
		Subjects:             s.storedSubjects(),
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
		c.SubjectTransform = &jetstream.SubjectTransformConfig{
			Source: s.Transform.Source, Destination: s.Transform.Destination,
		}
	}
	s.setChoices(&c)
	return c
}

// setChoices sets the fields for which the configuration holds a word. NATS's zero values are
// the other words: file, limits, old and none.
func (s *Stream) setChoices(c *jetstream.StreamConfig) {
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
}

// unlimited returns the limit as the server reports it: -1 for no limit.
func unlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

// duplicateWindow returns the declared window, or the server's default: 2m, at most max_age.
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
