package appliance_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/adversary"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// raceDetector is true when the tests run with the race detector, which multiplies time.
var raceDetector bool

// honestNodes register over connections of their own, and remember when they did.
type honestNodes struct {
	nodes []*simnode.Node
	conns []*nats.Conn

	mu       sync.Mutex
	sent     map[string]time.Time // by sender and request id
	captured [][]byte             // their messages
}

// newHonestNodes connects nodes over TLS: half with certificates, half with tokens.
func newHonestNodes(t *testing.T, a *appliance.Appliance, site *enroll.Site, count int) *honestNodes {
	t.Helper()
	h := &honestNodes{sent: map[string]time.Time{}}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		n, err := simnode.NewNode(i, simnode.NodeOptions{Site: site, RSA: key})
		if err != nil {
			t.Fatal(err)
		}
		h.nodes = append(h.nodes, n)
		h.conns = append(h.conns, testkit.Connect(t, a, n.Options(n.Identity, site.Roots())...))
	}
	return h
}

// names returns the identities.
func (h *honestNodes) names() (names []string) {
	for _, n := range h.nodes {
		names = append(names, n.Identity)
	}
	return names
}

// register makes every node register at an interval until done returns true, and returns the keys
// of the registrations.
func (h *honestNodes) register(t *testing.T, interval time.Duration, done func() bool) (keys []string) {
	t.Helper()
	var wg sync.WaitGroup
	for i, n := range h.nodes {
		wg.Go(func() {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for !done() {
				<-ticker.C
				id, raw, err := n.Registration(time.Now())
				if err != nil {
					t.Error(err)
					return
				}
				h.mu.Lock()
				key := n.Identity + "/" + id
				h.sent[key] = time.Now()
				keys = append(keys, key)
				h.captured = append(h.captured, raw)
				h.mu.Unlock()
				if err := h.conns[i].Publish(testkit.Subject, raw); err != nil {
					t.Error(err)
				}
			}
			if err := h.conns[i].FlushTimeout(wait.Limit); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return keys
}

// capture returns the message that the nodes sent last.
func (h *honestNodes) capture() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.captured) == 0 {
		return nil
	}
	return h.captured[len(h.captured)-1]
}

// median returns the median time from when registrations were published until they were stored.
func (h *honestNodes) median(keys []string, stored map[string]time.Time) time.Duration {
	latencies := make([]time.Duration, len(keys))
	for i, key := range keys {
		latencies[i] = stored[key].Sub(h.sent[key])
	}
	slices.Sort(latencies)
	return latencies[len(latencies)/2]
}

// controls are messages that an administrator publishes to a stream without an adapter, at the same
// time as the nodes register: what slows these down is the machine, and what else runs on it.
type controls struct {
	js    jetstream.JetStream
	bytes int
	sent  []time.Time // by number
}

const controlStream = "CONTROL"

// publish publishes a control 50 times a second until stop is called, and returns the numbers of the
// first and the next one.
func (c *controls) publish(t *testing.T) (stop func() (first, next int)) {
	t.Helper()
	first, quit, done := len(c.sent), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
				c.sent = append(c.sent, time.Now())
				if err := c.js.Conn().Publish("control", make([]byte, c.bytes)); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	return func() (int, int) {
		close(quit)
		<-done
		return first, len(c.sent)
	}
}

// latency returns the median time until controls were stored.
func (c *controls) latency(t *testing.T, first, next int) time.Duration {
	t.Helper()
	var latencies []time.Duration
	for n, m := range testkit.Messages(t, c.js, controlStream) {
		if meta, err := m.Metadata(); err == nil && n >= first && n < next {
			latencies = append(latencies, meta.Timestamp.Sub(c.sent[n]))
		}
	}
	slices.Sort(latencies)
	return latencies[len(latencies)/2]
}

// TestAppliance_AnAdversaryHarmsNoHonestNode has nodes that register beside an adversary that tries
// everything, and compares with the time before.
func TestAppliance_AnAdversaryHarmsNoHonestNode(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds of load")
	}
	site, text := newSite(t, keepAll+"[stream.CONTROL]\nsubjects = ['control']\n"+
		"[fleet]\nindex = ['os.name', 'facts']\nlate_after = '60s'\ndown_after = '90s'\n")
	cfg := testkit.Config(t, text)
	a := newAppliance(cfg)
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	const nodes, atLeast = 20, time.Second
	interval := 50 * time.Millisecond
	if raceDetector {
		interval = time.Second
	}
	h := newHonestNodes(t, a, site, nodes)
	c := &controls{js: adminJetStream(t, a, site), bytes: 10_000}
	start, stopControls := time.Now(), c.publish(t)
	alone := h.register(t, interval, func() bool { return time.Since(start) > atLeast })
	first, next := stopControls()

	hostile := adversary.New(t, adversary.Options{
		Broker: a.BrokerAddress(), Console: a.ConsoleAddress(), Site: site, Victims: h.names(), Captured: h.capture,
		Permissions: []string{"election_user", "events_viewer"},
	})
	hostile.Start()
	start, stopControls = time.Now(), c.publish(t)
	beside := h.register(t, interval, func() bool { return hostile.Rounds() > 0 && time.Since(start) > atLeast })
	_, last := stopControls()
	for attack, actions := range hostile.Counts() {
		if actions == 0 {
			t.Errorf("the attack %q was not made", attack)
		}
	}
	stored := checkHonest(t, a, site, h)
	slower := max(1, float64(c.latency(t, next, last))/float64(c.latency(t, first, next)))
	before, now := h.median(alone, stored), h.median(beside, stored)
	t.Logf("median latency of %d registrations %s, of %d beside the adversary %s; the machine is %.1f times slower",
		len(alone), before, len(beside), now, slower)
	const floor = 10 * time.Millisecond // below, what else runs on the machine decides
	if float64(now) > 2*slower*float64(max(before, floor)) && !raceDetector {
		t.Errorf("median latency %s, beside the adversary %s", before, now)
	}

	closeStart := time.Now()
	if err := a.Close(context.Background()); err != nil { // while the adversary goes on
		t.Error(err)
	}
	t.Logf("closed after %s: %+v", time.Since(closeStart), a.Stats()["registration"])
	hostile.Stop()
	if s := a.Stats()["registration"]; !s.Balanced() || s.Pending != 0 || s.AllDropped() > 0 {
		t.Errorf("%+v", s)
	}
	again := testkit.Open(t, cfg)
	if s := summaryOf(t, again); s.States[fleet.Up] < nodes {
		t.Errorf("after a restart: %v", s.States)
	}
}

// checkHonest compares what honest nodes sent with the streams, and returns when it was stored.
func checkHonest(
	t *testing.T, a *appliance.Appliance, site *enroll.Site, h *honestNodes,
) (stored map[string]time.Time) {
	t.Helper()
	js := adminJetStream(t, a, site)
	wait.Eventually(t, func() error { // what the adversary sends has its outcome before or after
		stored = map[string]time.Time{}
		for _, m := range testkit.Messages(t, js, contract.StreamRegistration) {
			_, key, _ := strings.Cut(m.Headers().Get(contract.HeaderMsgID), "/")
			meta, err := m.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			sender := strings.TrimPrefix(m.Subject(), contract.SubjectNodeMetadata)
			_, honest := h.sent[key]
			if sender != m.Headers().Get(contract.HeaderSender) || sender != adversary.Name && !honest {
				t.Errorf("foreign message on %s: %v %.200s", m.Subject(), m.Headers(), m.Data())
			}
			stored[key] = meta.Timestamp
		}
		lost := 0
		for key := range h.sent {
			if stored[key].IsZero() {
				lost++
			}
		}
		if lost > 0 {
			return fmt.Errorf("%d of %d registrations of honest nodes are not stored: %+v", lost, len(h.sent), a.Stats())
		}
		return nil
	})
	for _, m := range testkit.Messages(t, js, contract.StreamFleet) {
		if !strings.HasPrefix(m.Subject(), contract.SubjectFleetNode+"new.") {
			t.Errorf("event %s: %s", m.Subject(), m.Data())
		}
	}
	if s := summaryOf(t, a); s.States[fleet.Up] != s.Nodes || s.Nodes < len(h.nodes) {
		t.Errorf("%v", s.States)
	}
	return stored
}

// summaryOf returns the fleet view in numbers.
func summaryOf(t *testing.T, a *appliance.Appliance) (s fleet.Summary) {
	t.Helper()
	if status := testkit.GetJSON(t, a, "/api/v1/fleet", &s); status != 200 {
		t.Fatalf("status %d", status)
	}
	return s
}
