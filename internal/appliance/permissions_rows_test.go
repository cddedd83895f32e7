package appliance_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// row is one row of the table of permissions.
type row struct {
	what    string
	allowed []bool // by column
	try     attempt
}

// newRow returns a row; in allowed an x stands for yes, in the order of the columns.
func newRow(what, allowed string, try attempt) row {
	r := row{what: what, try: try}
	for _, mark := range allowed {
		r.allowed = append(r.allowed, mark == 'x')
	}
	return r
}

// permissionRows are all rows.
func permissionRows() []row {
	var rows []row
	for _, part := range [][]row{publishRows(), receiveRows(), readRows(), changeRows()} {
		rows = append(rows, part...)
	}
	return rows
}

func publishRows() []row {
	return []row{
		newRow("register in the collective `mcollective`", "xxxxxx.xx.x.",
			publishing("mcollective.broadcast.agent.registration")),
		newRow("register in another collective", "xxxxxx.xx.x.", publishing("dc1.broadcast.agent.registration")),
		newRow("register on a subject of its own", "....x.....x.", publishing("cmdb.registration.NAME")),
		newRow("publish events", "xxxxx.....x.", publishing("choria.lifecycle.event.startup.server")),
		newRow("reply to requests", "xxxxx.....x.", publishing("mcollective.reply.UNIQUE.x")),
		newRow("send requests to all nodes", "....xx.xx.x.", publishing("mcollective.broadcast.agent.rpcutil")),
		newRow("send requests to one node", "....xx.xx.x.", publishing("mcollective.node.web9.example.net")),
		newRow("submit messages", "xx.xx...x.x.", publishing("mcollective.submission.in.UNIQUE")),
		newRow("write keys of buckets", "....xx.xx.x.", requesting("$KV.CONFIG.UNIQUE", "value")),
		newRow("take part in leader elections", ".....x.xx.x.", publishing("$KV.CHORIA_LEADER_ELECTION.UNIQUE")),
		newRow("publish to output subjects of adapters", "..........x.", publishing("choria.node_metadata.UNIQUE")),
		newRow("publish events of the fleet view", "..........x.", publishing("muster.fleet.node.down.UNIQUE")),
		newRow("forward messages of its site (`choria.sites.ams.>`)", "..........xx",
			forwarding("choria.sites.ams.choria.node_metadata.UNIQUE")),
		newRow("forward messages of another site", "..........x.",
			forwarding("choria.sites.bru.choria.node_metadata.UNIQUE")),
		newRow("send requests to the server (`$SYS.REQ`)", "..........x.", requesting("$SYS.REQ.USER.INFO", "")),
	}
}

func receiveRows() []row {
	return []row{
		newRow("receive requests to all nodes", "xxxxx.....x.",
			receiving("mcollective.broadcast.agent.>", "mcollective.broadcast.agent.rpcutil")),
		newRow("receive requests in another collective", "xx..x.....x.",
			receiving("dc1.broadcast.agent.>", "dc1.broadcast.agent.rpcutil")),
		newRow("receive requests in the collective `choria`", "..........x.",
			receiving("choria.broadcast.agent.>", "choria.broadcast.agent.rpcutil")),
		newRow("receive requests to service agents", ".x.xx.....x.",
			receiving("mcollective.broadcast.service.>", "mcollective.broadcast.service.aaa")),
		newRow("receive requests to itself", "xxxxx.....x.",
			receiving("mcollective.node.NAME", "mcollective.node.NAME")),
		newRow("receive requests to another node", "..........x.",
			receiving("mcollective.node.web9", "mcollective.node.web9")),
		newRow("receive registrations of other nodes", "..........x.",
			receiving("mcollective.broadcast.agent.>", "mcollective.broadcast.agent.registration")),
		newRow("receive events", ".....x.xx.x.",
			receiving("choria.lifecycle.event.>", "choria.lifecycle.event.startup.server")),
		newRow("receive replies in Choria's inboxes, also those to others with certificates", ".x..xx..xxx.",
			receiving("mcollective.reply.*.*", "mcollective.reply.UNIQUE.x")),
		newRow("receive replies in the inbox of its own certificate", ".x..xx..xxx.", receiving("OWN.>", "OWN.x")),
		newRow("receive replies in the inbox of another certificate", "..........x.", receiving("OTHER.>", "OTHER.x")),
		newRow("receive replies in all inboxes of NATS's libraries (`_INBOX.>`)", ".........xx.",
			receiving("_INBOX.>", "_INBOX.UNIQUE")),
		newRow("receive everything (`>`)", "..........x.", receiving(">", "UNIQUE.x")),
		newRow("receive JetStream's advisories", "..........x.", receiving("$JS.EVENT.>", "$JS.EVENT.ADVISORY.UNIQUE")),
	}
}

// consumer returns a request for a consumer of a stream that delivers to the administrator.
func consumer(stream, filter string) attempt {
	return requesting("$JS.API.CONSUMER.CREATE."+stream+".UNIQUE."+filter, fmt.Sprintf(
		`{"stream_name":%q,"config":{"name":"UNIQUE","deliver_subject":"UNIQUE","ack_policy":"none","filter_subject":%q,`+
			`"inactive_threshold":1000000000}}`, stream, filter))
}

// newBucket is an attempt to read a bucket that is made while the connection is open.
func newBucket(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool {
	name := "NEW_" + s.unique()
	if _, err := s.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: name}); err != nil {
		t.Fatal(err)
	}
	return requesting("$JS.API.STREAM.INFO.KV_"+name, "")(t, s, nc, c)
}

// fetch is an attempt to fetch a message from a consumer of another client.
func fetch(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool {
	if err := s.verifier.Publish("choria.machine.transition", []byte("moved")); err != nil {
		t.Fatal(err)
	}
	flush(t, s.verifier)
	return requesting("$JS.API.CONSUMER.MSG.NEXT.CHORIA_MACHINE.cmdb", "1")(t, s, nc, c)
}

// removal is an attempt to delete a consumer of another client.
func removal(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool {
	durable := jetstream.ConsumerConfig{Durable: s.unique()}
	if _, err := s.js.CreateConsumer(t.Context(), "CHORIA_MACHINE", durable); err != nil {
		t.Fatal(err)
	}
	return requesting("$JS.API.CONSUMER.DELETE.CHORIA_MACHINE."+durable.Durable, "")(t, s, nc, c)
}

func readRows() []row {
	const own = contract.StreamRejected
	return []row{
		newRow("read the state of a bucket", ".x.xxx.xx.x.", requesting("$JS.API.STREAM.INFO.KV_CONFIG", "")),
		newRow("read the state of a bucket that was made since it connected", ".x.xxx.xx.x.", newBucket),
		newRow("read a key of a bucket", ".x.xxx.xx.x.",
			requesting("$JS.API.STREAM.MSG.GET.KV_CONFIG", `{"last_by_subj":"$KV.CONFIG.color"}`)),
		newRow("watch a bucket", ".x.xxx.xx.x.", consumer("KV_CONFIG", "$KV.CONFIG.>")),
		newRow("read the state of a governor", ".x.xxx.xx.x.", requesting("$JS.API.STREAM.INFO.GOVERNOR_G", "")),
		newRow("read the state of any stream", ".....x.xx.x.", requesting("$JS.API.STREAM.INFO."+own, "")),
		newRow("read messages of any stream", ".....x.xx.x.", requesting("$JS.API.STREAM.MSG.GET."+own, `{"seq":1}`)),
		newRow("use Direct Get", ".....x.xx.x.", requesting("$JS.API.DIRECT.GET.KV_CONFIG.$KV.CONFIG.color", "")),
		newRow("use Direct Get for what it has forwarded", ".....x.xx.xx", directGetOf("ams")),
		newRow("use Direct Get for what another site has forwarded", ".....x.xx.x.", directGetOf("bru")),
		newRow("make consumers of any stream", ".....x.xx.x.", consumer(own, ">")),
		newRow("make consumers of the streams that its role names", ".....x.xxxx.",
			consumer("CHORIA_MACHINE", "choria.machine.>")),
		newRow("take messages from consumers of others", ".....x.xxxx.", fetch),
		newRow("delete consumers of others", ".....x.xxxx.", removal),
	}
}

// deletion is an attempt to delete a message.
func deletion(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool {
	ack, err := s.js.Publish(t.Context(), "choria.submission.in.choria.executor.x", nil)
	if err != nil {
		t.Fatal(err)
	}
	return requesting("$JS.API.STREAM.MSG.DELETE.CHORIA_EXECUTOR", fmt.Sprintf(`{"seq":%d}`, ack.Sequence))(t, s, nc, c)
}

// backup is an attempt to back up a stream. JetStream refuses the request, because a backup that is not
// received would take time.
func backup(t *testing.T, s *permissionSite, nc *nats.Conn, _ column) bool {
	const subject = "$JS.API.STREAM.SNAPSHOT.KV_CONFIG"
	answer, err := s.verifier.SubscribeSync("answers." + s.unique())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Unsubscribe() }()
	flush(t, s.verifier)
	if err := nc.PublishRequest(subject, answer.Subject, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	if wasDenied(nc, subject) {
		flush(t, s.verifier)
		_, err := answer.NextMsg(time.Millisecond)
		return err == nil
	}
	m, err := answer.NextMsg(wait.Limit)
	return err == nil && strings.Contains(string(m.Data), "snapshot")
}

// copying is an attempt to make a stream that copies another, which has a message.
func copying(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool {
	name := "COPY_" + s.unique()
	config := fmt.Sprintf(`{"name":%q,"max_bytes":65536,"sources":[{"name":%q}]}`, name, contract.StreamRejected)
	if !requesting("$JS.API.STREAM.CREATE."+name, config)(t, s, nc, c) {
		return false
	}
	wait.Eventually(t, func() error {
		stream, err := s.js.Stream(t.Context(), name)
		if err == nil && stream.CachedInfo().State.Msgs == 0 {
			err = errors.New("nothing is copied")
		}
		return err
	})
	return true
}

// enter enters a governor, and returns the slot; 0: it could not.
func enter(t *testing.T, s *permissionSite, nc *nats.Conn) (slot uint64) {
	t.Helper()
	info := func() jetstream.StreamState {
		stream, err := s.js.Stream(t.Context(), "GOVERNOR_G")
		if err != nil {
			t.Fatal(err)
		}
		return stream.CachedInfo().State
	}
	before := info().LastSeq
	if !requesting("mcollective.governor.G", "")(t, s, nc, column{}) {
		return 0
	}
	if slot = info().LastSeq; slot != before+1 {
		t.Fatalf("slot %d follows %d", slot, before)
	}
	return slot
}

// leave is an attempt to free a slot in a governor.
func leave(t *testing.T, s *permissionSite, nc *nats.Conn, slot uint64) bool {
	t.Helper()
	request := fmt.Sprintf(`{"seq":%d,"no_erase":true}`, slot)
	return slot > 0 && requesting("$JS.API.STREAM.MSG.DELETE.GOVERNOR_G", request)(t, s, nc, column{})
}

func changeRows() []row {
	stream := func(name, config string) attempt {
		return requesting("$JS.API.STREAM.CREATE."+name, fmt.Sprintf(`{"name":%q,"max_bytes":65536,%s}`, name, config))
	}
	return []row{
		newRow("delete messages", ".....x.xx.x.", deletion),
		newRow("make buckets", "........x.x.", stream("KV_UNIQUE", `"subjects":["$KV.UNIQUE.>"]`)),
		newRow("make governors", "........x.x.",
			stream("GOVERNOR_UNIQUE", `"subjects":["mcollective.governor.UNIQUE"]`)),
		newRow("make streams that copy another", "........x.x.", copying),
		newRow("make streams that store requests to JetStream, with the write token", "..........x.",
			stream("UNIQUE", `"subjects":["$JS.EVENT.ADVISORY.API"]`)),
		newRow("purge streams", "........x.x.", requesting("$JS.API.STREAM.PURGE.CHORIA_EXECUTOR", "")),
		newRow("back up streams", "..........x.", backup),
		newRow("enter governors, and leave them", ".x.xx..xx.x.",
			func(t *testing.T, s *permissionSite, nc *nats.Conn, _ column) bool {
				return leave(t, s, nc, enter(t, s, nc))
			}),
		newRow("free the slot of another in a governor", ".....x.xx.x.",
			func(t *testing.T, s *permissionSite, nc *nats.Conn, _ column) bool {
				return leave(t, s, nc, enter(t, s, s.verifier))
			}),
	}
}
