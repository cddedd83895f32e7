package forward

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/host"
)

// lineage tells the lives of a stream apart. Sequences alone do not identify messages: a stream that was deleted or
// restored from a backup uses them again. So each process that forwards a stream is a run with a random id, and the
// hub keeps with each message its run and its sequence. A stream that is new, or was created again, has a lineage of
// its own.
//
// A message M of this stream was forwarded before X, the last message of its sender at the hub, if M was stored
// before X: then the hub has M, or it was left out on purpose. See precedes.
type lineage struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"` // when the stream was created
	Begun   bool      `json:"begun"`   // a consumer was made
	Runs    []run     `json:"runs"`    // the last is the current one

	// HubStream is the name of the stream at the hub, from its acks; empty: no ack has arrived yet. After a restart the
	// hub is asked for messages of that stream.
	HubStream string `json:"hub_stream,omitempty"`
}

// run is a process that forwards the stream.
type run struct {
	ID    string `json:"id"`
	Start uint64 `json:"start"` // sequence of the last message that was stored before it began
}

// maxRuns is how many runs are kept: older ones are told apart by time.
const maxRuns = 1000

// next returns the lineage with one more run, for a stream with that time of creation and last sequence.
func (l lineage) next(created time.Time, last uint64) lineage {
	if l.ID == "" || !l.Created.Equal(created) {
		l = lineage{ID: randomID(), Created: created, HubStream: l.HubStream}
	}
	l.Runs = append(slices.Clone(l.Runs[max(0, len(l.Runs)-maxRuns+1):]), run{randomID(), last})
	return l
}

// randomID returns a random text of 8 characters.
func randomID() string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	return hex.EncodeToString(random[:])
}

func (l lineage) current() run { return l.Runs[len(l.Runs)-1] }

// incarnation returns the text that identifies the lineage and the run.
func (l lineage) incarnation() string { return l.ID + "." + l.current().ID }

// precedes reports whether the message with that sequence, stored at that time, was stored before the message at the
// hub that has the source x, or is that message.
//
// If x is of a run that is known here, the order follows from sequences: what a run stored after the end that is
// known here was lost since. If the run is not known, it began after the backup from which this stream was restored:
// what was stored before the first run since then precedes it. Only which run that was is not known, and the
// time decides.
func (l lineage) precedes(sequence uint64, stored time.Time, x source) bool {
	id, runID, _ := strings.Cut(x.incarnation, ".")
	if id != l.ID {
		return false // it says nothing about this stream
	}
	for i, r := range l.Runs {
		if r.ID != runID {
			continue
		}
		end := x.sequence
		for _, later := range l.Runs[i+1:] {
			end = min(end, later.Start)
		}
		return sequence <= end
	}
	return sequence <= l.current().Start && sequence <= x.sequence && stored.Before(x.stored.Add(time.Millisecond))
}

// lineages keeps the lineages of the streams of a forwarder in a file.
type lineages struct {
	path string

	mu      sync.Mutex
	streams map[string]lineage
}

// loadLineages reads the file. One that cannot be read counts as missing: the hub then says nothing about what was
// forwarded, and some of it is forwarded again.
func loadLineages(path string) (*lineages, error) {
	l := &lineages{path: path, streams: map[string]lineage{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l.streams)
	}
	if err != nil {
		l.streams = map[string]lineage{}
	}
	return l, err
}

func (l *lineages) get(stream string) lineage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams[stream]
}

// put keeps a lineage, and returns when it is on disk.
func (l *lineages) put(stream string, kept lineage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams[stream] = kept
	text, err := json.Marshal(l.streams)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	return host.ReplaceFile(l.path, text)
}
