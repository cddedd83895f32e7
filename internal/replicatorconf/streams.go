package replicatorconf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/translate"
)

// stream is a stream that is forwarded to a hub.
type stream struct {
	settings
	filtered []*mapping // entries with a filter_subject
}

// settings are what an entry says about a stream.
type settings struct {
	name     string
	mode     string
	interval time.Duration
	maxAge   time.Duration
	prefix   string // of the subjects at the target
}

// Modes of forwarding.
const (
	modeAll     = "all"
	modeChanged = "changed"
	modeSampled = "sampled"
)

// streams translates the entries of streams.
func (t *translation) streams(top *mapping) {
	entries := top.list("streams")
	if len(entries) == 0 {
		t.remark(top.remark("streams", translate.Caution, "no stream is copied, so nothing is forwarded"))
	}
	for i, entry := range entries {
		m := newMapping(fmt.Sprintf("streams[%d].", i), entry)
		name := m.get("stream")
		if name != "" {
			m.path = "streams." + name + "."
		}
		if t.accepts(m, name) {
			t.addStream(m, name)
			t.remarkOnUnused(m, streamReasons, "")
		}
	}
}

// accepts reports whether an entry can be translated.
func (t *translation) accepts(m *mapping, name string) bool {
	source := m.get("source_url")
	if t.sourceURL == "" {
		t.sourceURL = source
	}
	switch {
	case !contract.ValidName(name):
		t.remark(m.remark("stream", translate.Loss,
			"the stream is not forwarded: its name is not one of 1 to 64 of A-Z, a-z, 0-9, _ and -"))
	case m.peek("target_url") == "":
		t.remark(m.remark("target_url", translate.Loss, "the stream is not forwarded: no target is set"))
	case source != t.sourceURL:
		t.remark(m.remark("source_url", translate.Loss, "the stream is not forwarded: it is at another source than the "+
			"first one, and an appliance forwards its own streams; run an appliance there, and import the entries of that "+
			"source alone"))
	default:
		return true
	}
	return false
}

// addStream adds the stream of an entry to its hub.
func (t *translation) addStream(m *mapping, name string) {
	s := &stream{settings: settings{
		name: name, maxAge: t.duration(m, "max_age"), prefix: m.get("target_subject_prefix"),
	}}
	t.mode(m, s)
	t.advisory(m)
	t.subjects(m, s)
	h := t.hubOf(m)
	if m.isSet("filter_subject") {
		s.filtered = []*mapping{m}
	}
	if before := slices.IndexFunc(h.streams, func(o *stream) bool { return o.name == name }); before >= 0 {
		first := h.streams[before]
		if first.settings != s.settings || len(first.filtered) == 0 || len(s.filtered) == 0 {
			t.remark(m.remark("stream", translate.Loss, "the stream is forwarded to this target once, as the first entry "+
				"has it; another one is left out"))
			return
		}
		first.filtered = append(first.filtered, m)
		return
	}
	if !t.declared[name] {
		t.remark(m.remark("stream", translate.Caution, "an appliance does not have this stream by default; declare it in "+
			"[stream."+name+"]"))
	}
	if strings.HasPrefix(name, contract.PrefixBucketStream) {
		t.remark(m.remark("stream", translate.Loss,
			"the hub gets the changes of the bucket as messages, not a bucket"))
	}
	h.streams = append(h.streams, s)
}

// mode translates the inspection of messages.
func (t *translation) mode(m *mapping, s *stream) {
	s.mode, s.interval = modeAll, t.duration(m, "inspect_duration")
	field, trigger, force := m.get("inspect_field"), m.isSet("size_trigger"), m.isSet("inspect_force_field")
	if field == "" || s.interval == 0 {
		s.interval = 0
		return
	}
	s.mode = modeSampled
	if trigger {
		s.mode = modeChanged
		t.remark(m.remark("size_trigger", translate.Note, "replaced by mode = \"changed\": any change of the facts is "+
			"forwarded at once, apart from those in fleet.volatile, also one that leaves the size as it is"))
	}
	if force {
		s.mode = modeChanged
		t.remark(m.remark("inspect_force_field", translate.Caution, "replaced by mode = \"changed\": "+
			"registrations are forwarded at once if facts changed, whatever this field has"))
	}
	if s.name != contract.StreamRegistration || field != "sender" {
		t.remark(m.remark("inspect_field", translate.Caution, "messages are told apart by the sender that an adapter has "+
			"verified; messages of which no adapter knows the sender are all forwarded"))
	}
}

// advisory translates the advisories to those of the fleet view.
func (t *translation) advisory(m *mapping) {
	advisory := m.sub("advisory")
	switch subject := advisory.get("subject"); {
	case subject == "":
		return
	case subject != contract.SubjectAdvisories:
		t.remark(advisory.remark("subject", translate.Loss, "programs that read advisories on this subject get none: "+
			"they are published on "+contract.SubjectAdvisories+"; better, read the events of the stream "+
			contract.StreamFleet))
	default:
		t.remark(advisory.remark("subject", translate.Note, "replaced by fleet.advisories; the events of the stream "+
			contract.StreamFleet+", which are forwarded too, say more and come within seconds"))
	}
	if !t.out.Has("fleet") {
		t.out.Set("fleet", "advisories", "true", "as the Stream Replicator publishes them")
	}
	advisory.used["reliable"] = true // advisories are always stored
	t.remarkOnUnused(advisory, nil, "")
}

// subjects remarks on where messages are at the hub.
func (t *translation) subjects(m *mapping, s *stream) {
	if target := m.get("target_stream"); target != "" && target != s.name {
		t.remark(m.remark("target_stream", translate.Caution, "a hub stores messages by their subject: "+
			"declare [stream."+translate.QuoteKey(target)+"] there, with the subjects of this stream below "+
			contract.SubjectSites+"*."))
	}
	if m.isSet("target_subject_remove") {
		t.remark(m.remark("target_subject_remove", translate.Caution, "not supported: the subject of a message is kept, "+
			"behind that of the site"))
	}
	if s.prefix != "" {
		t.remark(m.remark("target_subject_prefix", translate.Caution, "kept behind the site, in subject; "+
			"no stream of a hub stores these subjects by default, and the hub shows no nodes of them: leave subject out if "+
			"you can"))
	}
}

// filters remarks on the filters of a stream: one selects a part of it, several make parts of all of it.
func (t *translation) filters(s *stream) {
	for _, m := range s.filtered {
		if len(s.filtered) == 1 {
			t.remark(m.remark("filter_subject", translate.Loss, "messages on other subjects are forwarded, too; to forward a "+
				"part, declare a stream of its own for these subjects, and forward that one"))
			continue
		}
		t.remark(m.remark("filter_subject", translate.Caution, "the entries of the stream are one here: the whole stream is "+
			"forwarded, many senders at a time, and each keeps its order"))
	}
}

// writeStream writes the table of a stream.
func (t *translation) writeStream(hub string, s *stream) {
	t.filters(s)
	table := hub + ".stream." + s.name
	t.out.Set(table, "mode", translate.Quote(s.mode), "")
	if s.interval > 0 {
		t.out.Set(table, "interval", translate.Quote(config.FormatDuration(s.interval)), "")
	}
	if s.mode == modeAll && s.name == contract.StreamRegistration {
		t.out.Set(table, "catchup", `"all"`, "")
	}
	if s.maxAge > 0 {
		t.out.Set(table, "max_age", translate.Quote(config.FormatDuration(s.maxAge)), "")
	}
	if s.prefix != "" {
		t.out.Set(table, "subject", translate.Quote(contract.SubjectSites+"%s."+strings.Trim(s.prefix, ".")+".>"), "")
	}
}

const day = 24 * time.Hour

// duration returns the duration that a key has, and marks the key as used; zero if the key is not set or the Stream
// Replicator cannot read it.
func (t *translation) duration(m *mapping, key string) time.Duration {
	text := m.get(key)
	if text == "" {
		return 0
	}
	units := map[string]time.Duration{
		"w": 7 * day, "W": 7 * day, "d": day, "D": day, "M": 30 * day, "Y": 365 * day, "y": 365 * day,
	}
	number, last := text[:len(text)-1], text[len(text)-1:]
	d, err := time.ParseDuration(text)
	if unit, found := units[last]; found {
		var n float64
		if n, err = strconv.ParseFloat(number, 32); err == nil && !(n >= 0 && n*unit.Hours() < 24*365*200) {
			err = strconv.ErrRange
		}
		if err == nil {
			d = time.Duration(n * float64(unit)).Truncate(time.Hour)
		}
	}
	if err != nil || d < 0 {
		t.remark(m.remark(key, translate.Caution, "not a duration that the Stream Replicator reads; it is left out"))
		return 0
	}
	return d
}
