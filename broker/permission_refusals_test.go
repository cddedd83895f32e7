package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// wantRefusedPermissions waits until the broker lists these permissions, apart from their times.
func (s *site) wantRefusedPermissions(t *testing.T, want ...rejected.Permission) {
	t.Helper()
	wait.Eventually(t, func() error {
		have, _ := s.broker.RefusedPermissions()
		for i := range have {
			if have[i].First.IsZero() || have[i].Last.Before(have[i].First) {
				return fmt.Errorf("times of %+v", have[i])
			}
			have[i].First, have[i].Last = time.Time{}, time.Time{}
		}
		if !slices.Equal(have, want) {
			return fmt.Errorf("have\n%+v\nwant\n%+v", have, want)
		}
		return nil
	})
}

func TestPermissionRefusals_OfConnections(t *testing.T) {
	s := openSite(t, nil)
	// The name looks like a violation of another connection.
	admin := s.peer(t, s.certificate("root.example.net"))
	other, err := admin.nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf(`x" - cid:%d - "y" - Subscription Violation - Subject "$SYS.>", SID 1 %%s - Publish Violation - `+
		`Subject %%q`, other)
	nc := s.peer(t, s.certificate("web1.example.net"), nats.Name(name)).nc
	for range 3 {
		for _, err := range []error{
			nc.Publish("cmdb.registration.web1", nil), nc.Publish("cmdb.%qd:1", nil),
			nc.PublishRequest("choria.lifecycle.event.x", "_R_.x.y", nil),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, subscribe := range []func() (*nats.Subscription, error){
			func() (*nats.Subscription, error) { return nc.SubscribeSync(nats.NewInbox()) },
			func() (*nats.Subscription, error) {
				return nc.QueueSubscribeSync("mcollective.broadcast.service.x", "q")
			},
		} {
			sub, err := subscribe()
			if err != nil {
				t.Fatal(err)
			}
			_ = sub.Unsubscribe()
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	client := s.peer(t, s.withToken(s.client("choria=rip"))...)
	client.mustNotPublish("mcollective.node.web1")
	s.broker.RefusePermission(cid(t, client.nc), rejected.Publish, "$MUSTER.API.STREAM.INFO.KV_X")

	node := func(kind, subject, allowedBy string) rejected.Permission {
		return rejected.Permission{
			Identity: "web1.example.net", Role: "node", Kind: kind, Subject: subject, AllowedBy: allowedBy,
			Address: "127.0.0.1", Count: 3,
		}
	}
	rip := rejected.Permission{
		Identity: "choria=rip", Role: "client", Kind: rejected.Publish, Subject: "$JS.API.STREAM.INFO.KV_X",
		AllowedBy: adviceStreamsUser, Address: "127.0.0.1", Count: 1,
	}
	request := rip
	request.Subject, request.AllowedBy = "mcollective.node.>", adviceFleet
	s.wantRefusedPermissions(t, rip, request,
		node(rejected.Publish, "cmdb.%qd:1", adviceCompatible),
		node(rejected.Publish, "cmdb.registration.web1", adviceCompatible),
		node(rejected.Reply, "_R_.x.y", adviceNothing),
		node(rejected.Subscribe, "_INBOX.>", adviceInbox),
		node(rejected.Subscribe, "mcollective.broadcast.service.x", adviceServiceHost),
	)
	for kind, want := range map[string]uint64{rejected.Publish: 8, rejected.Subscribe: 6, rejected.Reply: 3} {
		if n := s.broker.permissionRefusals.counter(kind).Load(); n != want {
			t.Errorf("%d of kind %s are counted, want %d", n, kind, want)
		}
	}
	for _, want := range []string{
		"permission refused: kind=publish subject=cmdb.registration.web1 identity=web1.example.net address=127.0.0.1 " +
			`count=1 hint="role compatible, `,
		"permission refused: kind=subscribe subject=_INBOX.> identity=web1.example.net",
	} {
		if strings.Count(s.log.String(), want) != 1 {
			t.Errorf("the log does not have once %s:\n%s", want, s.log)
		}
	}
	if strings.Contains(s.log.String(), "Violation") {
		t.Errorf("the log has lines of the server:\n%s", s.log)
	}
}

func cid(t *testing.T, nc *nats.Conn) uint64 {
	t.Helper()
	id, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestPermissionRefusals_InLab(t *testing.T) { // without an identity
	b := openBroker(t)
	accept(t, b)
	nc, err := nats.Connect(b.Address(), nats.Name("web1"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("$NRG.x", nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	have, _ := b.RefusedPermissions()
	if len(have) != 1 || have[0].Identity != "" || have[0].Role != "node" || have[0].Address != "127.0.0.1" ||
		have[0].AllowedBy != adviceNothing {
		t.Errorf("%+v", have)
	}
}

// newTestRefusals returns refused permissions of the node "web1", whose connection has the id 53.
func newTestRefusals(log hclog.Logger, now func() time.Time) *permissionRefusals {
	cfg := DefaultConfig()
	a := newAuthenticator(&cfg, Options{Verifier: noTokens(), Now: now, Log: log})
	a.connectionRoles.add(53, RoleNode, func(uint64) bool { return true })
	a.admitted.add(53, &proof{name: "web1", address: "192.0.2.7"})
	return newPermissionRefusals(a, log, now)
}

func TestPermissionRefusals_LoggedOnceAMinuteForEachCause(t *testing.T) {
	log, now := &syncBuffer{}, time.Unix(1000, 0)
	r := newTestRefusals(hclog.New(&hclog.LoggerOptions{Output: log}), func() time.Time { return now })
	for i := range 1000 {
		r.record(violation{id: 53, kind: rejected.Publish, subject: fmt.Sprintf("cmdb%d.x", i)})
		r.record(violation{id: 53, kind: rejected.Subscribe, subject: "mcollective.reply.>"})
	}
	if lines := strings.Count(log.String(), "\n"); lines != 3 { // the third is about what is not told apart
		t.Errorf("%d lines:\n%s", lines, log)
	}
	now = now.Add(refusalInterval)
	r.record(violation{id: 53, kind: rejected.Subscribe, subject: "mcollective.reply.>"})
	want := "kind=subscribe subject=mcollective.reply.> identity=web1 address=192.0.2.7 count=1000 " +
		"hint=\"role submission\"\n"
	if !strings.HasSuffix(log.String(), want) {
		t.Errorf("the log does not end with %s:\n%s", want, log)
	}
}

func TestServerLog_ViolationsCostLittle(t *testing.T) {
	l := &serverLog{log: hclog.NewNullLogger(), permissionRefusals: newTestRefusals(hclog.NewNullLogger(), time.Now)}
	for name, report := range violations() {
		report(l)
		n := testing.AllocsPerRun(100, func() { report(l) })
		if n > 8 {
			t.Errorf("%s: %v allocations, more than the server's own", name, n)
		}
	}
	if entries, _ := l.permissionRefusals.table.Entries(); len(entries) != 2 || entries[0].Count != 102 {
		t.Errorf("%+v", entries)
	}
}

// violations report a violation to the server's log, as the server does.
func violations() map[string]func(*serverLog) {
	subject := []byte("$JS.API.CONSUMER.CREATE.KV_CONFIG.Yh0pZQ1cVbI2jGq3kLm9nW.$KV.CONFIG.>")
	publish := serverLine("name", "Publish Violation - Subject %q")
	subscribe := serverLine("name", `Subscription Violation - Subject "_INBOX.Yh0pZQ1cVbI2jGq3kLm9nW.*", SID 3`)
	return map[string]func(*serverLog){
		"publish":   func(l *serverLog) { l.Errorf(publish, subject) },
		"subscribe": func(l *serverLog) { l.Errorf(subscribe) },
	}
}

func BenchmarkServerLog_Violation(b *testing.B) {
	l := &serverLog{log: hclog.NewNullLogger(), permissionRefusals: newTestRefusals(hclog.NewNullLogger(), time.Now)}
	for name, report := range violations() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				report(l)
			}
		})
	}
	b.Run("server", func(b *testing.B) { // what the server formats before it reports one
		b.ReportAllocs()
		subject := []byte("$JS.API.CONSUMER.CREATE.KV_CONFIG.Yh0pZQ1cVbI2jGq3kLm9nW.$KV.CONFIG.>")
		for b.Loop() {
			text := fmt.Sprintf("Permissions Violation for Publish to %q", subject)
			_ = fmt.Appendf(nil, "-ERR '%s'\r\n", text)
			_ = fmt.Sprintf("%s - %s", "192.0.2.7:40112 - cid:53 - \"name\"", publishViolation)
		}
	})
}
