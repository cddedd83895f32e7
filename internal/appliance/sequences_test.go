package appliance_test

import (
	"crypto/md5"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// These tests send what Choria's servers and clients send, in the same order and with the same inboxes.

// choriaColumn returns the column with that title, and the inbox prefix that Choria uses there.
func choriaColumn(t *testing.T, title string) (c column, inbox string) {
	t.Helper()
	for _, c := range columns() {
		if c.title != title {
			continue
		}
		if c.token == nil {
			return c, "mcollective.reply"
		}
		return c, fmt.Sprintf("mcollective.reply.%x", md5.Sum([]byte(c.name)))
	}
	t.Fatalf("no column %q", title)
	return c, ""
}

// connectAsChoria connects as the column with that title, with Choria's inbox.
func (s *permissionSite) connectAsChoria(t *testing.T, title string) *nats.Conn {
	t.Helper()
	c, inbox := choriaColumn(t, title)
	return s.connect(t, c, nats.CustomInboxPrefix(inbox))
}

// A watcher of a node asks for the bucket, reads its key now and then, and may watch it.
func TestPermissions_NodesWatchBuckets(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	for _, title := range []string{"node with roles", "node, token with all", "compatible node"} {
		t.Run(title, func(t *testing.T) {
			js, err := jetstream.New(s.connectAsChoria(t, title))
			if err != nil {
				t.Fatal(err)
			}
			bucket := "LATER_" + s.unique() // made while the node is connected
			made, err := s.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket, History: 5})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := made.PutString(t.Context(), "color", "green"); err != nil {
				t.Fatal(err)
			}
			kv, err := js.KeyValue(t.Context(), bucket)
			if err != nil {
				t.Fatal(err)
			}
			if entry, err := kv.Get(t.Context(), "color"); err != nil || string(entry.Value()) != "green" {
				t.Errorf("get: %v, %v", entry, err)
			}
			if history, err := kv.History(t.Context(), "color"); err != nil || len(history) != 1 {
				t.Errorf("history: %v, %v", history, err)
			}
			watch, err := kv.WatchAll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := made.PutString(t.Context(), "color", "blue"); err != nil {
				t.Fatal(err)
			}
			wantUpdates(t, watch, "green", "blue")
			if err := watch.Stop(); err != nil {
				t.Error(err)
			}
			if title != "compatible node" {
				return // it would wait for an answer
			}
			if _, err := kv.PutString(t.Context(), "color", "red"); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
}

// wantUpdates waits for the values of a watched key.
func wantUpdates(t *testing.T, watch jetstream.KeyWatcher, values ...string) {
	t.Helper()
	deadline := time.After(wait.Limit)
	for len(values) > 0 {
		select {
		case entry := <-watch.Updates():
			if entry == nil { // the end of what was stored before
				continue
			}
			if string(entry.Value()) != values[0] {
				t.Fatalf("watch: %s, want %s", entry.Value(), values[0])
			}
			values = values[1:]
		case <-deadline:
			t.Fatalf("watch: %v not received", values)
		}
	}
}

// A node submits a message reliably: it waits for the ack, and otherwise submits it again.
func TestPermissions_NodesSubmitReliably(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	stream := jetstream.StreamConfig{Name: "SUBMITTED", Subjects: []string{"mcollective.submission.in.>"}}
	if _, err := s.js.CreateStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	titles := []string{"node with roles", "node, token with all", "compatible node"}
	for _, title := range titles {
		nc := s.connectAsChoria(t, title)
		m := nats.NewMsg("mcollective.submission.in.cmdb")
		for name, value := range map[string]string{
			"Nats-Msg-Id": title, "Choria-Reliable": "1", "Choria-Priority": "4", "Choria-Identity": title,
		} {
			m.Header.Set(name, value)
		}
		ack, err := nc.RequestMsg(m, wait.Limit)
		if err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		if string(ack.Data) == "" || ack.Header.Get("Status") != "" {
			t.Errorf("%s: %s", title, ack.Data)
		}
	}
	if messages := testkit.Messages(t, s.js, "SUBMITTED"); len(messages) != len(titles) {
		t.Errorf("%d messages are stored", len(messages))
	}
	// Without a role every node may submit, but receives no ack.
	plain := s.connectAsChoria(t, "node")
	if err := plain.Publish("mcollective.submission.in.cmdb", []byte("plain")); err != nil {
		t.Fatal(err)
	}
	wantMessages(t, s.js, "SUBMITTED", uint64(len(titles)+1))
}

// choria kv add makes a bucket, and choria kv put and get use it.
func TestPermissions_ClientsMakeBuckets(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	js, err := jetstream.New(s.connectAsChoria(t, "compatible client"))
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "MADE"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "k", "v"); err != nil {
		t.Error(err)
	}
	if entry, err := kv.Get(t.Context(), "k"); err != nil || string(entry.Value()) != "v" {
		t.Errorf("get: %v, %v", entry, err)
	}
	if err := js.DeleteKeyValue(t.Context(), "MADE"); err != nil {
		t.Error(err)
	}
}

// A node may not take over or delete the consumers of others.
func TestPermissions_NodesCannotTouchConsumersOfOthers(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	for _, c := range []jetstream.ConsumerConfig{
		{Durable: "cmdb", FilterSubject: "$KV.CONFIG.>", AckPolicy: jetstream.AckExplicitPolicy},
		{Name: "watch", FilterSubject: "$KV.CONFIG.>", InactiveThreshold: time.Hour},
	} {
		if _, err := s.js.CreateConsumer(t.Context(), "KV_CONFIG", c); err != nil {
			t.Fatal(err)
		}
	}
	nc := s.connectAsChoria(t, "compatible node")
	const create = `{"stream_name":"KV_CONFIG","config":{%s,"deliver_subject":"mcollective.reply.x.y",` +
		`"ack_policy":"none","filter_subject":"$KV.CONFIG.>"},"action":"update"}`
	for _, r := range []struct{ subject, data string }{
		{"CREATE.KV_CONFIG.watch.$KV.CONFIG.>", fmt.Sprintf(create, `"name":"watch"`)},
		{"CREATE.KV_CONFIG.cmdb.$KV.CONFIG.>", fmt.Sprintf(create, `"name":"cmdb"`)},
		{"CREATE.KV_CONFIG.mine.$KV.CONFIG.>", fmt.Sprintf(create, `"name":"mine","durable_name":"mine"`)},
		{"DELETE.KV_CONFIG.cmdb", ""},
		{"CREATE.CHORIA_MACHINE.x.$KV.CONFIG.>", fmt.Sprintf(create, `"name":"x"`)},
	} {
		answer, err := nc.Request("$JS.API.CONSUMER."+r.subject, []byte(r.data), wait.Limit)
		if err != nil || !strings.Contains(string(answer.Data), `"error":{`) {
			t.Errorf("%s: %v %s", r.subject, err, answer.Data)
		}
	}
	_, listed := testkit.Get(t, s.Appliance, "/api/v1/permissions")
	for _, want := range []string{"old1.example.net", "$JS.API.CONSUMER.CREATE.CHORIA_MACHINE"} {
		if !strings.Contains(listed, want) {
			t.Errorf("%s is not listed as refused: %s", want, listed)
		}
	}
	for _, name := range []string{"cmdb", "watch"} {
		c, err := s.js.Consumer(t.Context(), "KV_CONFIG", name)
		if err != nil || c.CachedInfo().Config.DeliverSubject != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A reader copies a stream as the Stream Replicator does, with NATS's own inbox.
func TestPermissions_ReadersReadTheirStreams(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	if err := s.verifier.Publish("choria.machine.transition", []byte("moved")); err != nil {
		t.Fatal(err)
	}
	wantMessages(t, s.js, "CHORIA_MACHINE", 1)
	c, _ := choriaColumn(t, "reader")
	for _, inbox := range []string{nats.InboxPrefix[:len(nats.InboxPrefix)-1], "mcollective.reply"} {
		js, err := jetstream.New(s.connect(t, c, nats.CustomInboxPrefix(inbox)))
		if err != nil {
			t.Fatal(err)
		}
		if messages := testkit.Messages(t, js, "CHORIA_MACHINE"); len(messages) != 1 {
			t.Errorf("%d messages with the inbox %s", len(messages), inbox)
		}
		stream, err := js.Stream(t.Context(), "CHORIA_MACHINE")
		if err != nil {
			t.Fatal(err)
		}
		durable := jetstream.ConsumerConfig{Durable: "copy", AckPolicy: jetstream.AckExplicitPolicy}
		consumer, err := stream.CreateOrUpdateConsumer(t.Context(), durable)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := consumer.Info(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// JetStream's own requests, which copy streams, do not need the permissions of a connection.
func TestPermissions_StreamsCopyStreams(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	source := &jetstream.StreamSource{Name: "CHORIA_MACHINE"}
	for _, stream := range []jetstream.StreamConfig{
		{Name: "MIRROR", Mirror: source}, {Name: "COPY", Sources: []*jetstream.StreamSource{source}},
	} {
		if _, err := s.js.CreateStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.verifier.Publish("choria.machine.transition", []byte("moved")); err != nil {
		t.Fatal(err)
	}
	wantMessages(t, s.js, "MIRROR", 1)
	wantMessages(t, s.js, "COPY", 1)
}
