package broker

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/nats-io/nats-server/v2/server"
)

// restoreMeta repairs, before the server opens the store, the configurations of streams and
// consumers that are damaged or missing, from the recorded ones: the server would leave these
// streams and consumers out, with all their messages. The damaged files stay beside the new ones.
func (b *Broker) restoreMeta() {
	if b.opts.Recorded == nil {
		return
	}
	recorded := b.opts.Recorded()
	for _, name := range b.storedStreams() {
		if !slices.ContainsFunc(recorded, func(s integrity.Stream) bool { return s.Name == name }) {
			recorded = append(recorded, integrity.Stream{Name: name})
		}
	}
	for _, s := range recorded {
		if _, err := os.Stat(filepath.Join(b.streamDir(s.Name), blocksDir)); err != nil {
			continue // its messages are gone, too
		}
		b.restoreFile(b.streamDir(s.Name), s.Name, s.Meta,
			integrity.Finding{Code: integrity.CodeRestored, Stream: s.Name})
		for _, c := range s.Consumers {
			f := integrity.Finding{Code: integrity.CodeConsumerRestored, Stream: s.Name, Consumer: c.Name}
			b.restoreFile(b.consumerDir(s.Name, c.Name), s.Name+"/"+c.Name, c.Meta, f)
			b.checkConsumerState(filepath.Join(b.consumerDir(s.Name, c.Name), consumerState), f)
		}
	}
}

// storedStreams returns the names of the streams that have a directory.
func (b *Broker) storedStreams() []string {
	entries, err := os.ReadDir(filepath.Dir(b.streamDir("any")))
	if err != nil {
		return nil // a new store
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") { // the server removes those
			names = append(names, e.Name())
		}
	}
	return names
}

// restoreFile writes the recorded configuration into the directory if the one there is damaged.
func (b *Broker) restoreFile(dir, key, recorded string, f integrity.Finding) {
	_, problem := readMeta(dir, key)
	if problem == nil {
		return
	}
	if _, err := os.Stat(dir); err != nil {
		return // of a consumer that is gone
	}
	err := errors.Join(setAside(filepath.Join(dir, server.JetStreamMetaFile)),
		setAside(filepath.Join(dir, server.JetStreamMetaFileSum)))
	f.Cause = "its configuration was damaged (" + problem.Error() + ") and was restored from the record"
	switch {
	case recorded == "":
		f.Cause = "its configuration is damaged (" + problem.Error() + "), and the record has none"
	case err == nil:
		err = writeMeta(dir, key, recorded)
	}
	if err != nil {
		f.Cause = "its configuration is damaged and could not be restored: " + err.Error()
	}
	b.opts.Noticed(f)
}

// checkConsumerState sets the state of a consumer aside if the server could not read it: it would
// leave the consumer out, and nothing could create it again. Without the file the consumer begins anew.
func (b *Broker) checkConsumerState(path string, f integrity.Finding) {
	content, err := os.ReadFile(path)
	if err != nil || validConsumerState(content) {
		return
	}
	f.Cause = "its position was damaged, so it begins anew"
	if err := setAside(path); err != nil {
		f.Cause = "its position is damaged: " + err.Error()
	}
	b.opts.Noticed(f)
}

// validConsumerState reports whether the server can read the state of a consumer: two bytes, the
// sequences of the ack floor and of what was delivered, and lists of pending messages. A file
// without the lists is valid, too.
func validConsumerState(content []byte) bool {
	const magic, oldVersion, version = 22, 1, 2
	if len(content) < 2 || content[0] != magic || content[1] != version && content[1] != oldVersion {
		return false
	}
	rest := content[2:]
	for range 4 {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n>>63 != 0 {
			return false
		}
		rest = rest[size:]
	}
	pending, size := binary.Uvarint(rest)
	if size <= 0 || pending == 0 {
		return true
	}
	perMessage := 3 // its sequences in the stream and in the consumer, and a time
	if content[1] == oldVersion {
		perMessage = 2
	}
	rest = rest[size:]
	if pending > uint64(len(rest)) {
		return false
	}
	for range 1 + int(pending)*perMessage { // the 1 is the time of the oldest
		_, size := binary.Uvarint(rest)
		if size <= 0 {
			return false
		}
		rest = rest[size:]
	}
	return true
}
