package appliance_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go"
)

// connection is one of the connections in the answer of /connz.
type connection struct {
	Cid    uint64
	Name   string
	InMsgs uint64 `json:"in_msgs"`
}

// connections returns the open connections with a name.
func connections(t *testing.T, a *appliance.Appliance, name string) (found []connection) {
	t.Helper()
	var answer struct{ Connections []connection }
	testkit.GetJSON(t, a, "/connz", &answer)
	for _, c := range answer.Connections {
		if c.Name == name {
			found = append(found, c)
		}
	}
	return found
}

// publishAll publishes registrations of the node, each on the subject that subject returns for its
// number, and returns their keys: sender and request id.
func publishAll(t *testing.T, nc *nats.Conn, n *simnode.Node, count int, subject func(size int) string) []string {
	t.Helper()
	var keys []string
	for range count {
		id, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Error(err)
			return keys
		}
		if err := nc.Publish(subject(len(raw)), raw); err != nil {
			t.Error(err)
		}
		keys = append(keys, n.Identity+"/"+id)
	}
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
	return keys
}

// TestAppliance_AccountsForMessagesOnTheLongestSubject has a node that holds valid credentials
// publish on the longest subject that the broker accepts, beside nodes that publish on the usual one.
func TestAppliance_AccountsForMessagesOnTheLongestSubject(t *testing.T) {
	t.Parallel()
	const hostileMessages, honestMessages, honestNodes = 200, 300, 3
	site, text := newSite(t, keepAll)
	a := testkit.Appliance(t, text)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	longest := func(size int) string {
		line := fmt.Sprintf(" %d", size) // what follows the subject in a PUB line
		subject := "choria.registration."
		return subject + strings.Repeat("x", inproc.MaxControlLine-len(subject)-len(line))
	}
	usual := func(int) string { return testkit.Subject }
	adapterBefore := connections(t, a, "choria adapter registration")

	wanted, reason := map[string]string{}, map[string]string{} // by key
	var mu sync.Mutex
	var wg sync.WaitGroup
	var names []string
	for i := range honestNodes + 1 {
		n, err := simnode.NewNode(2*i, simnode.NodeOptions{Site: site, RSA: key})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, n.Identity)
		nc := testkit.Connect(t, a, n.Options(n.Identity, site.Roots())...)
		wg.Go(func() {
			count, subject, want := honestMessages, usual, ""
			if i == 0 {
				count, subject, want = hostileMessages, longest, contract.ReasonLimit
			}
			keys := publishAll(t, nc, n, count, subject)
			mu.Lock()
			defer mu.Unlock()
			for _, key := range keys {
				wanted[key] = want
			}
		})
	}
	wg.Wait()
	testkit.Settled(t, a, "registration", uint64(len(wanted)))

	var sent uint64
	for _, name := range names {
		for _, c := range connections(t, a, name) {
			sent += c.InMsgs
		}
	}
	if s := a.Stats()["registration"]; s.Received != sent || sent != uint64(len(wanted)) {
		t.Errorf("%d published, the server received %d, the adapter %d", len(wanted), sent, s.Received)
	}
	adapterAfter := connections(t, a, "choria adapter registration")
	if len(adapterBefore) != 1 || len(adapterAfter) != 1 || adapterBefore[0].Cid != adapterAfter[0].Cid {
		t.Errorf("the adapter's connection was replaced: %v, then %v", adapterBefore, adapterAfter)
	}
	js := adminJetStream(t, a, site)
	for _, m := range testkit.Messages(t, js, contract.StreamRegistration) {
		_, key, _ := strings.Cut(m.Headers().Get(contract.HeaderMsgID), "/")
		reason[key] = ""
	}
	for _, m := range testkit.Messages(t, js, contract.StreamRejected) {
		request, err := new(choria.Parser).Request(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		reason[request.Sender+"/"+request.ID] = m.Headers().Get(contract.HeaderReason)
		if subject := m.Headers().Get(contract.HeaderSubject); len(subject) > 512 {
			t.Errorf("the recorded subject has %d bytes", len(subject))
		}
	}
	for key, want := range wanted {
		if have, ok := reason[key]; !ok || have != want {
			t.Errorf("%s: reason %q, found %v; want %q", key, have, ok, want)
		}
	}
}
