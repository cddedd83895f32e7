package jsconfig

import (
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/nats-io/nats.go/jetstream"
)

type streamConfig = jetstream.StreamConfig

// field is one field of a stream that can be declared.
type field struct {
	name string                       // its key in the configuration
	text func(*streamConfig) string   // its value, for comparing and for people
	set  func(to, from *streamConfig) // copies its value
}

// fields lists every field that Plan compares. Other fields of an existing stream stay as
// they are.
var fields = []field{
	{"description", func(c *streamConfig) string { return strconv.Quote(c.Description) },
		func(to, from *streamConfig) { to.Description = from.Description }},
	{"subjects", func(c *streamConfig) string { return strings.Join(c.Subjects, " ") },
		func(to, from *streamConfig) { to.Subjects = from.Subjects }},
	{"storage", func(c *streamConfig) string { return strings.ToLower(c.Storage.String()) },
		func(to, from *streamConfig) { to.Storage = from.Storage }},
	{"retention", func(c *streamConfig) string { return strings.ToLower(c.Retention.String()) },
		func(to, from *streamConfig) { to.Retention = from.Retention }},
	{"max_age", func(c *streamConfig) string { return age(c.MaxAge) },
		func(to, from *streamConfig) { to.MaxAge = from.MaxAge }},
	{"max_bytes", func(c *streamConfig) string { return size(c.MaxBytes) },
		func(to, from *streamConfig) { to.MaxBytes = from.MaxBytes }},
	{"max_msgs", func(c *streamConfig) string { return count(c.MaxMsgs) },
		func(to, from *streamConfig) { to.MaxMsgs = from.MaxMsgs }},
	{"max_msgs_per_subject", func(c *streamConfig) string { return count(c.MaxMsgsPerSubject) },
		func(to, from *streamConfig) { to.MaxMsgsPerSubject = from.MaxMsgsPerSubject }},
	{"max_msg_size", func(c *streamConfig) string { return size(int64(c.MaxMsgSize)) },
		func(to, from *streamConfig) { to.MaxMsgSize = from.MaxMsgSize }},
	{"discard", func(c *streamConfig) string {
		return strings.ToLower(strings.TrimPrefix(c.Discard.String(), "Discard"))
	},
		func(to, from *streamConfig) { to.Discard = from.Discard }},
	{"discard_new_per_subject", func(c *streamConfig) string { return strconv.FormatBool(c.DiscardNewPerSubject) },
		func(to, from *streamConfig) { to.DiscardNewPerSubject = from.DiscardNewPerSubject }},
	{"duplicate_window", func(c *streamConfig) string { return age(c.Duplicates) },
		func(to, from *streamConfig) { to.Duplicates = from.Duplicates }},
	{"replicas", func(c *streamConfig) string { return strconv.Itoa(c.Replicas) },
		func(to, from *streamConfig) { to.Replicas = from.Replicas }},
	{"compression", func(c *streamConfig) string { return strings.ToLower(c.Compression.String()) },
		func(to, from *streamConfig) { to.Compression = from.Compression }},
	{"allow_direct", func(c *streamConfig) string { return strconv.FormatBool(c.AllowDirect) },
		func(to, from *streamConfig) { to.AllowDirect = from.AllowDirect }},
	{"allow_rollup_hdrs", func(c *streamConfig) string { return strconv.FormatBool(c.AllowRollup) },
		func(to, from *streamConfig) { to.AllowRollup = from.AllowRollup }},
	{"no_ack", func(c *streamConfig) string { return strconv.FormatBool(c.NoAck) },
		func(to, from *streamConfig) { to.NoAck = from.NoAck }},
	{"deny_delete", func(c *streamConfig) string { return strconv.FormatBool(c.DenyDelete) },
		func(to, from *streamConfig) { to.DenyDelete = from.DenyDelete }},
	{"deny_purge", func(c *streamConfig) string { return strconv.FormatBool(c.DenyPurge) },
		func(to, from *streamConfig) { to.DenyPurge = from.DenyPurge }},
	{"subject_transform", func(c *streamConfig) string { return transform(c.SubjectTransform) },
		func(to, from *streamConfig) { to.SubjectTransform = from.SubjectTransform }},
}

func age(d time.Duration) string {
	if d <= 0 {
		return "unlimited"
	}
	return config.FormatDuration(d)
}

func size(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return config.FormatSize(n)
}

func count(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

func transform(t *jetstream.SubjectTransformConfig) string {
	if t == nil {
		return "none"
	}
	return t.Source + " to " + t.Destination
}
