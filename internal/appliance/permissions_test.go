package appliance_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var update = flag.Bool("update", false, "write the table of permissions to docs/security.md")

// column is one kind of connection in the table of permissions.
type column struct {
	title, name string
	token       *choria.Claims // nil: it has a certificate
}

// columns are all kinds of connections, as docs/security.md describes them.
func columns() []column {
	all := map[string]bool{"submission": true, "streams": true, "governor": true, "service_host": true}
	clientAll := map[string]bool{
		"fleet_management": true, "events_viewer": true, "election_user": true, "streams_user": true, "governor": true,
	}
	server := func(name string, permissions map[string]bool) *choria.Claims {
		c := choria.ServerClaims(name, []string{"mcollective"}, nil)
		c.Permissions = permissions
		return &c
	}
	client := func(name string, permissions map[string]bool) *choria.Claims {
		return &choria.Claims{Purpose: choria.PurposeClient, CallerID: name, OrgUnit: "choria", Permissions: permissions}
	}
	return []column{
		{"node", "web1.example.net", nil},
		{"node with roles", "app1.example.net", nil},
		{"node, token", "tok1.example.net", server("tok1.example.net", nil)},
		{"node, token with all", "all1.example.net", server("all1.example.net", all)},
		{"compatible node", "old1.example.net", nil},
		{"client", "rip.mcollective", nil},
		{"client, token", "choria=tok", client("choria=tok", nil)},
		{"client, token with all", "choria=all", client("choria=all", clientAll)},
		{"compatible client", "old.mcollective", nil},
		{"reader", "replicator.example.net", nil},
		{"admin", "root.example.net", nil},
		{"edge", edgeOfTable, nil},
	}
}

// edgeOfTable is the edge of the site ams, and edgeOfBru that of the site bru.
const (
	edgeOfTable = "edge1.example.net"
	edgeOfBru   = "edge2.example.net"
)

// permissionSite is an appliance with certificates and tokens, and what it takes to connect to it.
type permissionSite struct {
	*appliance.Appliance
	ca       *authority.Authority
	issuer   ed25519.PrivateKey
	verifier *nats.Conn // of an administrator: the second subscriber
	js       jetstream.JetStream
	count    int
}

// permissionRoles are the roles of the columns.
const permissionRoles = `
[jetstream]
domain = "hub"
[broker.sites]
ams = "edge1.example.net"
bru = "edge2.example.net"
[broker.provisioning]
client_password = "sesame"
[broker.roles]
admin = ["root.*"]
compatible = ["old*"]
streams = ["app*"]
governor = ["app*"]
submission = ["app*"]
service_host = ["app*"]
streams_admin = ["streams.*"]
[broker.roles.reader]
"replicator.*" = "CHORIA_MACHINE"
[bucket.CONFIG]
[stream.GOVERNOR_G]
subjects = "mcollective.governor.G"
`

func openPermissionSite(t *testing.T) *permissionSite {
	t.Helper()
	return openPermissionSiteWith(t, "")
}

// openPermissionSiteWith adds tables to the configuration.
func openPermissionSiteWith(t *testing.T, tables string) *permissionSite {
	t.Helper()
	public, issuer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &permissionSite{ca: authority.New(t, time.Now()), issuer: issuer}
	dir := t.TempDir()
	s.ca.Files(dir, nil, "127.0.0.1")
	file := func(name string) string { return filepath.Join(dir, name) }
	trust := fmt.Sprintf("[broker.tls]\ncert = %q\nkey = %q\nca = %q\n[broker.issuers]\nchoria = %q\n",
		file("cert.pem"), file("key.pem"), file("ca.pem"), hex.EncodeToString(public))
	s.Appliance = testkit.Appliance(t, trust+permissionRoles+tables)
	s.verifier = s.connect(t, column{name: "root.witness"})
	if s.js, err = jetstream.New(s.verifier); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.Publish(t.Context(), "$KV.CONFIG.color", []byte("green")); err != nil {
		t.Fatal(err)
	}
	durable := jetstream.ConsumerConfig{Durable: "cmdb", AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := s.js.CreateConsumer(t.Context(), "CHORIA_MACHINE", durable); err != nil {
		t.Fatal(err)
	}
	if err := s.verifier.Publish(testkit.Subject, []byte("not a registration")); err != nil {
		t.Fatal(err)
	}
	wantMessages(t, s.js, contract.StreamRejected, 1)
	for edge, site := range map[string]string{edgeOfTable: "ams", edgeOfBru: "bru"} {
		if _, err := s.connect(t, column{name: edge}).Request(forwardedBy(site), nil, wait.Limit); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// connect connects as the column says. Errors of permissions are ignored.
func (s *permissionSite) connect(t *testing.T, c column, options ...nats.Option) *nats.Conn {
	t.Helper()
	inbox := broker.InboxPrefix(c.name)
	if c.name == edgeOfTable || c.name == edgeOfBru {
		inbox = nats.InboxPrefix + "edge"
	}
	options = append([]nats.Option{
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.Name(c.name),
		nats.CustomInboxPrefix(inbox),
	}, options...)
	if c.token == nil {
		return testkit.Connect(t, s.Appliance, append(options, nats.Secure(s.ca.Client(nil, c.name)))...)
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := *c.token
	claims.PublicKey = hex.EncodeToString(public)
	credentials := simnode.Credentials{Key: key}
	if credentials.Token, err = choria.IssueToken(claims, s.issuer, time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	options = append(credentials.Options(c.name, s.ca.Pool()), options...)
	return testkit.Connect(t, s.Appliance, options...)
}

// unique returns a new token for a subject.
func (s *permissionSite) unique() string {
	s.count++
	return fmt.Sprintf("u%d", s.count)
}

// attempt is one cell of the table: whether a connection can do something. Each is observed by a second
// connection, an administrator's.
type attempt func(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool

// flush waits until the server has processed what the connections have sent.
func flush(t *testing.T, connections ...*nats.Conn) {
	t.Helper()
	for _, nc := range connections {
		if err := nc.FlushTimeout(wait.Limit); err != nil {
			t.Fatal(err)
		}
	}
}

// publishing is an attempt to publish to a subject. NAME stands for the identity, and UNIQUE for a new token.
func publishing(name string) attempt {
	return func(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool {
		subject := strings.NewReplacer("NAME", c.name, "UNIQUE", s.unique()).Replace(name)
		sub, err := s.verifier.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		flush(t, s.verifier)
		if err := nc.Publish(subject, []byte("tried")); err != nil {
			t.Fatal(err)
		}
		flush(t, nc, s.verifier)
		_, err = sub.NextMsg(time.Millisecond)
		return err == nil
	}
}

// forwardedBy returns a subject to which the edge of a site has forwarded a message.
func forwardedBy(site string) string {
	return contract.SiteSubject(site, contract.SubjectNodeMetadata+"web1")
}

// forwarding is an attempt to publish to a subject, to which also private streams may listen.
func forwarding(name string) attempt {
	return func(t *testing.T, s *permissionSite, nc *nats.Conn, _ column) bool {
		subject := strings.NewReplacer("UNIQUE", s.unique()).Replace(name)
		received := make(chan *nats.Msg, 2)
		for _, prefix := range []string{"", contract.SubjectWrite + "*."} {
			sub, err := s.verifier.ChanSubscribe(prefix+subject, received)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
		}
		flush(t, s.verifier)
		if err := nc.Publish(subject, []byte("tried")); err != nil {
			t.Fatal(err)
		}
		flush(t, nc, s.verifier)
		return len(received) == 1
	}
}

// directGetOf is an attempt to read the last message that a site has forwarded.
func directGetOf(site string) attempt {
	subject := contract.PrefixAPI + "DIRECT.GET." + contract.StreamRegistration + "." + forwardedBy(site)
	return func(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool {
		if c.name != edgeOfTable || site != "ams" {
			return requesting(subject, "")(t, s, nc, c)
		}
		m, err := nc.Request(subject, nil, wait.Limit) // the answer can only come to the edge
		return err == nil && m.Header.Get("Status") == ""
	}
}

// receiving is an attempt to subscribe and receive what the administrator publishes to the other subject.
func receiving(subscribe, published string) attempt {
	return func(t *testing.T, s *permissionSite, nc *nats.Conn, c column) bool {
		replace := strings.NewReplacer("NAME", c.name, "UNIQUE", s.unique(), "OWN", broker.InboxPrefix(c.name),
			"OTHER", broker.InboxPrefix("other"))
		sub, err := nc.SubscribeSync(replace.Replace(subscribe))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		flush(t, nc)
		if err := s.verifier.Publish(replace.Replace(published), []byte("secret")); err != nil {
			t.Fatal(err)
		}
		flush(t, s.verifier, nc)
		_, err = sub.NextMsg(time.Millisecond)
		return err == nil
	}
}

// apiPrefixes are all prefixes of requests to JetStream's API: also those with the domain, and those to which NATS
// maps some requests.
var apiPrefixes = []string{contract.PrefixAPI, "$JS.hub.API.", contract.SubjectChecked, contract.SubjectAPI}

// requesting is an attempt to make JetStream do something, with every prefix of its API. UNIQUE stands for a new
// token.
func requesting(name, data string) attempt {
	return func(t *testing.T, s *permissionSite, nc *nats.Conn, _ column) bool {
		rest, isAPI := strings.CutPrefix(name, contract.PrefixAPI)
		if !isAPI {
			return s.request(t, nc, name, data)
		}
		return slices.ContainsFunc(apiPrefixes, func(prefix string) bool { return s.request(t, nc, prefix+rest, data) })
	}
}

// request reports whether a request succeeds. The answer goes to the administrator; one with an error or a status
// does not count.
func (s *permissionSite) request(t *testing.T, nc *nats.Conn, name, data string) bool {
	t.Helper()
	replace := strings.NewReplacer("UNIQUE", s.unique())
	subject := replace.Replace(name)
	answer, err := s.verifier.SubscribeSync("answers." + s.unique())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Unsubscribe() }()
	flush(t, s.verifier)
	if err := nc.PublishRequest(subject, answer.Subject, []byte(replace.Replace(data))); err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	limit := wait.Limit
	if wasDenied(nc, subject) {
		flush(t, s.verifier)
		limit = time.Millisecond
	}
	m, err := answer.NextMsg(limit)
	if err != nil && limit == wait.Limit {
		t.Fatalf("%s: no answer", subject)
	}
	return err == nil && m.Header.Get("Status") == "" && !strings.Contains(string(m.Data), `"error":{`)
}

// wasDenied reports whether the last error of a connection is that it may not publish to the subject, or to
// where the request is mapped.
func wasDenied(nc *nats.Conn, subject string) bool {
	err := nc.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) &&
		strings.Contains(err.Error(), subject[strings.LastIndex(subject, "API.")+1:])
}

// table returns the table of permissions in Markdown.
func table(columns []column, rows []row) string {
	var b strings.Builder
	b.WriteString("| ")
	for _, c := range columns {
		b.WriteString("| " + c.title + " ")
	}
	b.WriteString("|\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
	for _, r := range rows {
		b.WriteString("| " + r.what + " ")
		for i := range columns {
			if r.allowed[i] {
				b.WriteString("| yes ")
			} else {
				b.WriteString("| – ")
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}

const (
	tableBegin = "<!-- table of permissions: go test ./internal/appliance -run TestPermissions -update -->\n"
	tableEnd   = "<!-- end of the table of permissions -->\n"
)

// TestPermissions_TableIsTrue tries every cell of the table of permissions in docs/security.md.
func TestPermissions_TableIsTrue(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	columns, rows := columns(), permissionRows()
	for i, c := range columns {
		t.Run(c.title, func(t *testing.T) {
			nc := s.connect(t, c)
			for _, r := range rows {
				if have := r.try(t, s, nc, c); have != r.allowed[i] {
					t.Errorf("%s: %t, want %t", r.what, have, r.allowed[i])
				}
			}
		})
	}
	const path = "../../docs/security.md"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(doc), tableBegin)
	shown, after, found := strings.Cut(rest, tableEnd)
	if want := table(columns, rows); !found || strings.TrimSpace(shown) != strings.TrimSpace(want) {
		if !*update {
			t.Fatalf("%s has another table; run the test with -update", path)
		}
		text := before + tableBegin + "\n" + want + "\n" + tableEnd + after
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
