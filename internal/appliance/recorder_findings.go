package appliance

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/integrity"
)

// recordName stands for the record itself in findings, where others have a stream.
const recordName = "record"

// compareAll compares the streams with the recorded ones, after they were recovered from the disk,
// and keeps what it finds. Streams that went back continue after their recorded sequence. It
// returns the states with which the next ones are compared.
func (r *recorder) compareAll(recorded *integrity.Record, have []integrity.Stream, now time.Time) []integrity.Stream {
	for _, f := range r.restored.take() {
		f.Noticed = now
		r.add(f)
	}
	findings := recorded.Compare(have, now)
	r.locate(findings, have)
	r.add(findings...)
	r.skipAhead(recorded, have)
	if len(findings) == 0 {
		return have
	}
	current, _ := r.streams()
	for i, s := range have { // others may have lost messages since they were read
		now := slices.IndexFunc(current, func(c integrity.Stream) bool { return c.Name == s.Name })
		if now >= 0 && slices.ContainsFunc(findings, func(f integrity.Finding) bool { return f.Stream == s.Name }) {
			have[i] = current[now]
		}
	}
	r.recordNow(findings, have, now)
	return have
}

// compareRunning compares the streams with their last states. A removal through the API becomes known a
// moment later, so a stream must lack messages in two ticks.
func (r *recorder) compareRunning(have []integrity.Stream, now time.Time) {
	findings := r.live.CompareRunning(have, now)
	suspects, before := map[string]bool{}, integrity.New()
	var confirmed []integrity.Finding
	for _, f := range findings {
		if r.suspects[f.Stream] {
			confirmed = append(confirmed, f)
			before.Streams[f.Stream] = r.live.Streams[f.Stream]
		} else {
			suspects[f.Stream] = true
		}
	}
	r.suspects = suspects
	if len(confirmed) == 0 {
		return
	}
	r.locate(confirmed, have)
	r.add(confirmed...)
	r.skipAhead(before, have)
	r.recordNow(confirmed, have, now)
	r.save(now)
	r.pending = nil
}

// recordNow makes the record match the streams of the findings, so that they are not found again.
func (r *recorder) recordNow(findings []integrity.Finding, have []integrity.Stream, now time.Time) {
	except := map[string]bool{}
	for name := range r.record.Streams {
		if !slices.ContainsFunc(findings, func(f integrity.Finding) bool { return f.Stream == name }) {
			except[name] = true
		}
	}
	unknown := func(s integrity.Stream) bool { return r.record.Streams[s.Name] == nil }
	r.record.Update(slices.DeleteFunc(slices.Clone(have), unknown), now, except)
}

// locate names the sequences that are missing, as exactly as possible.
func (r *recorder) locate(findings []integrity.Finding, have []integrity.Stream) {
	for i := range findings {
		f := &findings[i]
		s := slices.IndexFunc(have, func(s integrity.Stream) bool { return s.Name == f.Stream })
		if f.Messages == 0 || s < 0 {
			continue
		}
		gaps, err := r.gaps(f.Stream)
		if err != nil {
			r.log.Warn("sequences of lost messages not read", "stream", f.Stream, "error", err)
			continue
		}
		f.Locate(&have[s], gaps)
	}
}

// skipAhead makes streams whose last sequence went back continue after the recorded one.
func (r *recorder) skipAhead(recorded *integrity.Record, have []integrity.Stream) {
	back := map[string]broker.Position{}
	for _, s := range have {
		if e := recorded.Streams[s.Name]; e != nil && s.Last < e.Last {
			back[s.Name] = broker.Position{Last: e.Last, Time: e.LastTime}
		}
	}
	if len(back) == 0 {
		return
	}
	if err := r.skipTo(back); err != nil {
		names := strings.Join(slices.Sorted(maps.Keys(back)), " ")
		r.log.Error("stream uses sequences again", "stream", names, "error", err)
	}
}

// add keeps findings, logs those that are new, and announces losses.
func (r *recorder) add(findings ...integrity.Finding) {
	for _, f := range r.record.Add(findings...) {
		if f.Code != integrity.CodeLost {
			r.log.Warn("not as recorded", "reason", f.Code, "stream", f.Stream, "consumer", f.Consumer, "error", f.String())
			continue
		}
		r.log.Error("messages are lost", "stream", f.Stream, "lost", f.Messages, "error", f.String(),
			"hint", "see Lost messages in docs/operate.md; then run muster streams accept-loss "+f.Stream)
		if r.announce == nil {
			r.unannounced = append(r.unannounced, f)
			continue
		}
		r.announce(&f)
	}
	r.publish()
}

// addDamaged keeps a finding about messages that cannot be read.
func (r *recorder) addDamaged(f integrity.Finding, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Code, f.Damaged, f.Noticed = integrity.CodeLost, true, now
	before := len(r.record.Findings)
	r.add(f)
	if len(r.record.Findings) != before {
		r.save(now)
	}
}

// warnUnrecorded keeps a finding about the record itself until the process ends.
func (r *recorder) warnUnrecorded(cause string, now time.Time) {
	r.unrecorded = append(r.unrecorded, integrity.Finding{
		Code: integrity.CodeUnknown, Stream: recordName, Noticed: now, Cause: cause,
	})
	r.publish()
}

// publish sets what findings returns.
func (r *recorder) publish() {
	open := append(r.record.Open(), r.unrecorded...)
	r.open.Store(&open)
}

// findings returns what is not accepted. It never waits.
func (r *recorder) findings() []integrity.Finding {
	if open := r.open.Load(); open != nil {
		return *open
	}
	return nil
}

// announceTo passes the losses that were found so far, and all later ones, to announce.
func (r *recorder) announceTo(announce func(*integrity.Finding)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.announce = announce
	for _, f := range r.unannounced {
		announce(&f)
	}
	r.unannounced = nil
}

// accept ends the findings about a stream, or about the record, and returns how many there were.
func (r *recorder) accept(stream string, now time.Time) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	accepted := r.record.Accept(stream)
	if stream == recordName {
		accepted += len(r.unrecorded)
		r.unrecorded = nil
	}
	if accepted == 0 {
		return 0, errors.New("nothing is known to be lost of " + stream)
	}
	r.publish()
	r.log.Info("loss accepted", "stream", stream, "count", accepted)
	if r.save(now); r.unwritten {
		return accepted, errors.New("accepted until the next start only, because the record cannot be written")
	}
	return accepted, nil
}
