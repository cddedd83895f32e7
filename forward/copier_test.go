package forward

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go/jetstream"
)

// noAck is a message whose ack would be that of another one.
type noAck struct {
	jetstream.Msg
	t *testing.T
}

func (m noAck) Ack() error {
	m.t.Error("a message of the stream that is gone is acknowledged")
	return nil
}

func TestCopier_StreamThatIsCreatedAgain(t *testing.T) {
	c := testCopier(t, "S")
	c.f.opts.Log = hclog.NewNullLogger()
	var err error
	if c.f.lineages, err = loadLineages(filepath.Join(t.TempDir(), "hub.json")); err != nil {
		t.Fatal(err)
	}
	c.opened = false
	c.begin(&jetstream.StreamInfo{Created: at(0), State: jetstream.StreamState{FirstSeq: 1, LastSeq: 5}}, 4)
	old := &message{sequence: 5, subject: "x", sender: "x", readIn: c.lineage.incarnation(), ack: noAck{t: t}}
	c.order, c.window[5], c.lastRead = []*message{old}, old, 5
	c.ledger.read(0)
	c.begin(&jetstream.StreamInfo{Created: at(1)}, 0)
	if source := c.outgoing(old).Get("Choria-SR-Source"); !strings.Contains(source, " 5 ams "+old.readIn+" ") {
		t.Errorf("the source is %q, the incarnation was %s", source, old.readIn)
	}
	c.resolve(old, forwarded)
	if c.done != 0 || c.lastRead != 0 || c.lineage.incarnation() == old.readIn || !c.ledger.stats.Balanced() {
		t.Errorf("position %d, read up to %d, %s, %+v", c.done, c.lastRead, c.lineage.incarnation(), c.ledger.stats)
	}
}

func TestCopier_KeepsThePositionWithoutItsFile(t *testing.T) {
	c := testCopier(t, "S")
	c.f.opts.Log = hclog.NewNullLogger()
	c.f.lineages, c.opened = &lineages{path: filepath.Join(t.TempDir(), "hub.json"), streams: map[string]lineage{}}, false
	c.begin(&jetstream.StreamInfo{Created: at(0), State: jetstream.StreamState{FirstSeq: 1, LastSeq: 9}}, 4)
	if c.done != 4 || c.lastRead != 4 {
		t.Errorf("position %d, read up to %d", c.done, c.lastRead)
	}
}
