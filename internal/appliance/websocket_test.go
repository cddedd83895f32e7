package appliance_test

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go"
)

// TestAppliance_NodesRegisterAndReplyOverWebSocket has two nodes register, one with a certificate and one with a token,
// and reply to a client that is connected over WebSocket too.
func TestAppliance_NodesRegisterAndReplyOverWebSocket(t *testing.T) {
	t.Parallel()
	const each = 20
	site, text := newSite(t, keepAll+"[broker.websocket]\nlisten = \"127.0.0.1:0\"\n")
	a := testkit.Appliance(t, text)
	url := a.Listeners()["websocket"]
	if _, about := testkit.Get(t, a, "/choria/"); !strings.HasPrefix(url, "wss://") || !strings.Contains(about, url) {
		t.Errorf("it listens on %q and says %s", url, about)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	options := simnode.NodeOptions{Site: site, RSA: key}
	credentials, err := options.NewCredentials("alice.mcollective", choria.V1)
	if err != nil {
		t.Fatal(err)
	}
	client := testkit.ConnectTo(t, url, append(credentials.Options("alice", site.Roots()),
		nats.CustomInboxPrefix("mcollective.reply"))...)
	for i := range 2 {
		n, err := simnode.NewNode(i, options)
		if err != nil {
			t.Fatal(err)
		}
		nc := testkit.ConnectTo(t, url, n.Options(n.Identity, site.Roots())...)
		request := "mcollective.node." + n.Identity
		if _, err := nc.Subscribe(request, func(m *nats.Msg) { _ = m.Respond([]byte(n.Identity)) }); err != nil {
			t.Fatal(err)
		}
		for range each {
			_, raw, err := n.Registration(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			publish(t, nc, &nats.Msg{Subject: testkit.Subject, Data: raw})
		}
		if reply, err := client.Request(request, nil, 10*time.Second); err != nil || string(reply.Data) != n.Identity {
			t.Errorf("the reply is %v, %v", reply, err)
		}
	}
	testkit.Settled(t, a, "registration", 2*each)
	if s := a.Stats()["registration"]; s.Stored != 2*each {
		t.Errorf("have %+v", s)
	}
	awaitNodes(t, a, "", "node00000.example.net up", "node00001.example.net up")
}
