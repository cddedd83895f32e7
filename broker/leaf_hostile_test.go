package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

// hostile connects to the site as leafName, with more in what it presents, and asks for everything.
func (s *site) hostile(t *testing.T, connect map[string]any) *hostileLeaf {
	t.Helper()
	l := s.dialLeaf(connect, s.certificate(leafName))
	l.flush()
	l.send("LS+ >")
	l.flush()
	if l.ended() {
		t.Fatalf("not admitted: %q", l.seen(""))
	}
	return l
}

// hostileConnects are what a leaf node may present to be more than it is.
var hostileConnects = map[string]map[string]any{
	"plain":    nil,
	"as hub":   {"is_hub": true},
	"as owner": {"remote_account": account, "domain": "hub", "jetstream": true, "cluster": "choria"},
}

// TestLeafnodes_HostileReadsOnlyWhatCrosses subscribes to everything, and to what is secret by its name.
func TestLeafnodes_HostileReadsOnlyWhatCrosses(t *testing.T) {
	t.Parallel()
	for name, connect := range hostileConnects {
		for _, allowed := range []Crossing{CrossNodes, CrossClients, CrossBoth} {
			t.Run(name+" "+string(allowed), func(t *testing.T) {
				t.Parallel()
				s := openAccepting(t, allowed)
				l := s.hostile(t, connect)
				for _, subject := range []string{"*.>", "*.*.>", "$JS.>", "$SYS.>", "_R_.>", "_INBOX.>", "choria.>", "$LDS.>"} {
					l.send("LS+ %s", subject)
				}
				l.flush()
				nc := internalConn(t, s.broker)
				publishTries(t, s, nc, "secret")
				if err := nc.Flush(); err != nil {
					t.Fatal(err)
				}
				l.flush()
				var got []string
				for _, line := range l.seen("LMSG ") {
					got = append(got, strings.Fields(line)[1]+" tried")
				}
				slices.Sort(got)
				if got, want := slices.Compact(got), crosses(allowed.sends(), allowed.receives()); !slices.Equal(got, want) {
					t.Errorf("read %q, want %q", got, want)
				}
			})
		}
	}
}

// TestLeafnodes_HostilePublishesOnlyWhatCrosses publishes each subject over a connection of its own, because the server
// ends one that publishes what it may not. A subscriber of ">" is the witness, and an intake that of the adapters.
func TestLeafnodes_HostilePublishesOnlyWhatCrosses(t *testing.T) {
	t.Parallel()
	for name, connect := range hostileConnects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openSiteWith(t, func(_ *site, c *Config, o *Options) {
				acceptLeafnode(c, CrossBoth)
				o.Intakes = append(o.Intakes, Intake{Name: "nodes", Subjects: []string{"prod.node.>"}})
			})
			nc := internalConn(t, s.broker)
			arrived := collect(t, nc, ">")
			registrations, _ := dialIntake(t, s.broker, "test", "*.broadcast.agent.registration")
			requests, _ := dialIntake(t, s.broker, "nodes", "prod.node.>")
			for _, try := range leafTries {
				l := s.hostile(t, connect)
				l.publish(try.subject, "tried")
				l.publish(try.subject+" _INBOX.x", "tried")
				l.flush()
				never := !try.request && !try.response && !freeForAll(try.subject)
				if never && connect["is_hub"] == nil && !l.ended() {
					t.Errorf("%s: the connection was not ended", try.subject)
				}
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			got := arrived()
			slices.Sort(got)
			if got, want := slices.Compact(got), crossesToConnections(true, true); !slices.Equal(got, want) {
				t.Errorf("arrived: %q, want %q", got, want)
			}
			for subject, intake := range map[string]*intakeReceiver{ // each receives what is published here
				registrationSubject: registrations, "prod.node.web1.example.net": requests,
			} {
				if err := nc.Publish(subject, []byte("here")); err != nil {
					t.Fatal(err)
				}
				if first := intake.wait(t, 1)[0]; string(first.Data) != "here" {
					t.Errorf("an intake received %q from the leaf node", first.Data)
				}
			}
		})
	}
}

// freeForAll reports whether NATS lets every leaf node publish a subject. It arrives in the account of the link only.
func freeForAll(subject string) bool {
	return strings.HasPrefix(subject, "_R_.") || strings.HasPrefix(subject, "$JS.ACK.")
}

// TestLeafnodes_HostileAcknowledgesNothing acknowledges a message of a stream, directly and as the reply of a message
// that may cross, and requests JetStream's API with reply subjects that lead into the account of the nodes.
func TestLeafnodes_HostileAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	s := openAccepting(t, CrossBoth)
	js := jetStreamOf(t, s.broker)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"stored"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "stored", nil); err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	message, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	l := s.hostile(t, nil)
	ack := message.Reply()
	l.publish(ack, "+ACK")
	l.publish("mcollective.reply.x "+ack, "+ACK")
	l.publish("mcollective.reply.x "+ack+"@"+ack, "+ACK")
	l.publish("mcollective.node.x "+ack+"@stored", "x")
	l.publish("mcollective.node.x $JS.API.STREAM.DELETE.S", "x")
	l.flush()
	info, err := consumer.Info(t.Context())
	if err != nil || info.NumAckPending != 1 || info.AckFloor.Stream != 0 {
		t.Errorf("acknowledged: %+v: %v", info, err)
	}
	if state, err := stream.Info(t.Context()); err != nil || state.State.Msgs != 1 {
		t.Errorf("the stream has %+v: %v", state, err)
	}
	for _, request := range []string{"$JS.API.STREAM.DELETE.S", "$JS.API.STREAM.NAMES", "$SYS.REQ.SERVER.PING"} {
		l := s.hostile(t, nil)
		l.publish(request+" mcollective.reply.x", "")
		wait.Eventually(t, func() error {
			if !l.ended() {
				return fmt.Errorf("%s: the connection was not ended", request)
			}
			return nil
		})
	}
	if _, err := js.Stream(t.Context(), "S"); err != nil {
		t.Error(err)
	}
}

// TestLeafnodes_HostileTracesNothing asks for a trace of its message, which NATS publishes.
func TestLeafnodes_HostileTracesNothing(t *testing.T) {
	t.Parallel()
	s := openAccepting(t, CrossNodes)
	nc := internalConn(t, s.broker)
	arrived := collect(t, nc, ">")
	l := s.hostile(t, nil)
	for _, to := range []string{"mcollective.broadcast.agent.registration", "mcollective.node.web1", "stored"} {
		header := "NATS/1.0\r\nNats-Trace-Dest: " + to + "\r\n\r\n"
		l.send("HMSG mcollective.reply.x %d %d\r\n%s", len(header), len(header)+1, header+"x")
	}
	l.flush()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := arrived(); len(got) > 0 {
		t.Errorf("arrived: %q; the server has sent %q", got, l.seen(""))
	}
}

// TestLeafnodes_RefusedPermissionsAreListed requires that a leaf node which is ended because it published what it may
// not can be found.
func TestLeafnodes_RefusedPermissionsAreListed(t *testing.T) {
	t.Parallel()
	s := openAccepting(t, CrossNodes)
	for subject, allowedBy := range map[string]string{
		"mcollective.node.web1": adviceLeafnodes, registrationSubject: adviceNothing, "$KV.reply.x": adviceNothing,
	} {
		l := s.hostile(t, nil)
		l.publish(subject, "tried")
		l.wantEnded()
		wait.Eventually(t, func() error {
			entries, _ := s.broker.RefusedPermissions()
			for _, e := range entries {
				ofLeaf := e.Role == "leafnode" && e.Identity == leafName
				if ofLeaf && e.Subject == generalize(e.Kind, subject) && e.AllowedBy == allowedBy {
					return nil
				}
			}
			return fmt.Errorf("%s is not in %+v", subject, entries)
		})
	}
}

// TestLeafnodes_LimitOfSubscriptions requires that more subscriptions cross a link than a node may have, and that nodes
// have no more than before.
func TestLeafnodes_LimitOfSubscriptions(t *testing.T) {
	t.Parallel()
	s := openAccepting(t, CrossNodes)
	l := s.dialLeaf(nil, s.certificate(leafName))
	l.wantAdmitted()
	for i := range 2 * maxSubscriptions {
		l.send("LS+ mcollective.node.web%d", i)
	}
	l.flush()
	nc := s.peer(t, s.certificate("web1")).nc
	for i := range 2 * maxSubscriptions {
		if _, err := nc.SubscribeSync(fmt.Sprintf("mcollective.broadcast.agent.a%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = nc.Flush() // its answer may be the error
	wait.Eventually(t, func() error {
		if err := nc.LastError(); err == nil || !strings.Contains(err.Error(), "maximum subscriptions exceeded") {
			return fmt.Errorf("the node may subscribe more than %d times: %w", maxSubscriptions, err)
		}
		return nil
	})
	client := s.choriaClient(t, "rip.mcollective")
	client.request(t, fmt.Sprintf("mcollective.node.web%d", 2*maxSubscriptions-1))
	if got := l.seen(fmt.Sprintf("LMSG mcollective.node.web%d ", 2*maxSubscriptions-1)); len(got) != len(choriaProtocols) {
		t.Errorf("the last subscription has received %q", got)
	}
}
