package replicatorconf

import "github.com/muster-appliance/muster/internal/translate"

// reason says why a key is not in appliance.toml, and what does it there.
type reason struct {
	class translate.Class
	text  string
}

// Reasons that several keys share.
const (
	reasonStart = "not imported: an appliance begins with the oldest message that is stored; " +
		"max_age in the table of the stream leaves out older ones"
	reasonSource = "not needed: an appliance forwards its own streams"
	reasonUnread = "without effect in the Stream Replicator, which copies every message; so does this file. " +
		"For one message of each node in an interval, set mode = \"sampled\""
)

// generalReasons are those of keys that are not in the entry of a stream.
var generalReasons = map[string]reason{
	"state_store": {translate.Note, "not needed: the position in each stream is kept in data_dir; " +
		"after a start each node is forwarded once more"},
	"monitor_port": {translate.Loss, "the metrics choria_stream_replicator_* are gone, and so are dashboards and " +
		"alerts of them; /metrics of the console has muster_forward_* and, at the hub, muster_site_*"},
	"profiling": {translate.Note, "not supported: an appliance has no profiling port"},
	"logfile": {translate.Note,
		"not supported: an appliance logs to standard error, which systemd keeps in the journal"},
	"heartbeats": {translate.Loss, "programs that read these messages get none: an edge sends heartbeats to its hub, " +
		"where \"muster sites\" shows them and \"muster check health\" judges them"},
	"choria.collective": {translate.Note, "not needed: an edge is not in a collective of its hub"},
	"choria.seed_file":  {translate.Note, "not imported: each hub has credentials of its own, or no stream is forwarded"},
	"choria.jwt_file":   {translate.Note, "not imported: each hub has credentials of its own, or no stream is forwarded"},
}

// streamReasons are those of keys in the entry of a stream.
var streamReasons = map[string]reason{
	"name": {translate.Note, "not needed: an appliance names its consumer for the hub"},
	"no_target_create": {translate.Note,
		"not needed: a hub makes no stream for an edge; declare in its configuration what it stores"},
	"ephemeral": {translate.Note,
		"not needed: the position is kept in data_dir, and no message is stored at the hub twice"},
	"target_initiated": {translate.Caution, "the Stream Replicator ran near the target, but an appliance forwards " +
		"from the source: use this file there"},
	"start_sequence": {translate.Note, reasonStart},
	"start_time":     {translate.Note, reasonStart},
	"start_delta":    {translate.Note, reasonStart},
	"start_at_end":   {translate.Note, reasonStart},
	"leader_election_name": {translate.Note, "not needed: the appliance that has the stream forwards it; " +
		"while it is down, messages wait in the stream"},
	"warn_duration": {translate.Note, "not needed: a node is late or down by fleet.late_after and fleet.down_after, " +
		"by default according to its own interval, and within seconds if it was connected"},
	"inspect_header":        {translate.Caution, reasonUnread},
	"inspect_subject_token": {translate.Caution, reasonUnread},
	"source_tls":            {translate.Note, reasonSource},
	"source_choria":         {translate.Note, reasonSource},
}

// remarkOnUnused adds a remark on each key of a mapping that was not translated.
func (t *translation) remarkOnUnused(m *mapping, reasons map[string]reason, prefix string) {
	for _, key := range m.keys {
		if m.used[key] {
			continue
		}
		why, known := reasons[prefix+key]
		if !known {
			why = reason{translate.Note, "not imported: the Stream Replicator is not known to use this key"}
		}
		if known && !m.isSet(key) {
			continue // off
		}
		t.remark(m.remark(key, why.class, why.text))
	}
}
