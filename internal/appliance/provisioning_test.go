package appliance_test

import (
	"crypto/md5"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestProvisioning_ElectsALeader elects as several provisioners do: with Choria's prefix in place of "$JS.API", in the
// one bucket and under the one key that they may use.
func TestProvisioning_ElectsALeader(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	inbox := fmt.Sprintf("provisioning.reply.%x", md5.Sum([]byte("choria=prov")))
	connect := func() *nats.Conn {
		return s.connect(t, column{name: "choria=prov", token: &choria.Claims{
			Purpose: choria.PurposeClient, CallerID: "choria=prov", OrgUnit: "choria",
			Permissions: map[string]bool{"provisioner": true},
		}}, nats.UserInfo("provisioner", "sesame"), nats.CustomInboxPrefix(inbox))
	}
	bucket := func(name string) (jetstream.KeyValue, error) {
		js, err := jetstream.NewWithAPIPrefix(connect(), "choria.streams")
		if err != nil {
			t.Fatal(err)
		}
		return js.KeyValue(t.Context(), name)
	}
	first, err := bucket("CHORIA_LEADER_ELECTION")
	if err != nil {
		t.Fatal(err)
	}
	second, err := bucket("CHORIA_LEADER_ELECTION")
	if err != nil {
		t.Fatal(err)
	}
	revision, err := first.Create(t.Context(), "provisioner", []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Update(t.Context(), "provisioner", []byte("one"), revision); err != nil {
		t.Error(err)
	}
	if _, err := second.Update(t.Context(), "provisioner", []byte("two"), revision); err == nil {
		t.Error("both have been elected")
	}
	nc := connect()
	for _, subject := range []string{
		"choria.streams.STREAM.INFO.KV_CONFIG", "choria.streams.STREAM.DELETE.KV_CHORIA_LEADER_ELECTION",
		"choria.streams.STREAM.PURGE.KV_CHORIA_LEADER_ELECTION", "choria.streams.$KV.CHORIA_LEADER_ELECTION.other",
		"choria.streams.STREAM.NAMES", "choria.streams.DIRECT.GET.KV_CHORIA_LEADER_ELECTION",
		"$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION", "$JS.API.INFO", "$KV.CONFIG.color",
	} {
		if m, err := nc.Request(subject, nil, 10*time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("%s: %v %v", subject, m, err)
		}
		flush(t, nc)
		if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	election, err := s.js.KeyValue(t.Context(), "CHORIA_LEADER_ELECTION")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := election.Get(t.Context(), "provisioner")
	if err != nil || string(entry.Value()) != "one" {
		t.Errorf("the leader is %v: %v", entry, err)
	}
}
