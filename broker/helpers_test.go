package broker

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// noTokens returns a verifier that trusts no token.
func noTokens() *choria.Verifier {
	return choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{}))
}

// testOptions returns options for a broker without adapters and tokens.
func testOptions(t *testing.T) Options {
	t.Helper()
	return Options{
		Name: "broker.test", StoreDir: t.TempDir(), Verifier: noTokens(), Now: time.Now, Log: hclog.NewNullLogger(),
	}
}

// newBroker returns a broker on any free port that is closed when the test ends.
func newBroker(t *testing.T, cfg Config, o Options) *Broker {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	b := New(cfg, DefaultJetStream(), o)
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

// openBroker runs a broker without TLS, whose port is closed.
func openBroker(t *testing.T) *Broker {
	t.Helper()
	b := newBroker(t, DefaultConfig(), testOptions(t))
	open(t, b)
	return b
}

func open(t *testing.T, b *Broker) {
	t.Helper()
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func accept(t *testing.T, b *Broker) {
	t.Helper()
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
}

// openTLS runs a broker with certificates of the authority and an open port. It returns the
// directory of the files.
func openTLS(t *testing.T, ca *authority.Authority, log hclog.Logger) (b *Broker, dir string) {
	t.Helper()
	dir = t.TempDir()
	ca.Files(dir, nil, "broker.test")
	cfg, o := DefaultConfig(), testOptions(t)
	cfg.TLS, o.Log = filesIn(dir), log
	b = newBroker(t, cfg, o)
	open(t, b)
	accept(t, b)
	return b, dir
}

func filesIn(dir string) tlsfile.Files {
	path := func(name string) string { return filepath.Join(dir, name) }
	return tlsfile.Files{Cert: path("cert.pem"), Key: path("key.pem"), CA: path("ca.pem")}
}

func connectTLS(b *Broker, config *tls.Config, options ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("tls://"+b.Address(), append(options, nats.Secure(config), nats.Timeout(5*time.Second))...)
}

// syncBuffer can be read while a logger writes to it.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// internalConn returns an internal connection, which is closed when the test ends.
func internalConn(t testing.TB, b *Broker) *nats.Conn {
	t.Helper()
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// jetStreamOf returns JetStream over an internal connection.
func jetStreamOf(t testing.TB, b *Broker) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(internalConn(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// testTrustInterval is the trustInterval of a site.
const testTrustInterval = 100 * time.Millisecond

// site is a broker with certificates and an organization issuer, and the keys to issue
// certificates and tokens for it.
type site struct {
	t      *testing.T
	ca     *authority.Authority
	issuer ed25519.PrivateKey
	broker *Broker
	log    *syncBuffer
}

// openSite runs a site; edit changes the configuration of its broker.
func openSite(t *testing.T, edit func(*Config)) *site {
	t.Helper()
	return openSiteWith(t, func(_ *site, c *Config, _ *Options) {
		if edit != nil {
			edit(c)
		}
	})
}

// openSiteWith runs a site; edit changes its broker's configuration and options.
func openSiteWith(t *testing.T, edit func(*site, *Config, *Options)) *site {
	t.Helper()
	public, issuer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, ca: authority.New(t, time.Now()), issuer: issuer, log: &syncBuffer{}}
	dir := t.TempDir()
	s.ca.Files(dir, nil, "broker.test")
	cfg := DefaultConfig()
	cfg.TLS = filesIn(dir)
	cfg.Issuers = choria.Issuers{"choria": public}
	cfg.Roles.Admin = []string{"root.*"}
	cfg.System = System{User: "system", Password: "secret"}
	o := Options{
		Name: "broker.test", StoreDir: t.TempDir(), Now: time.Now,
		Ingest:  []string{"*.broadcast.agent.registration", "choria.registration.>"},
		Private: []string{contract.SubjectNodeMetadata + ">"},
		Intakes: []Intake{{Name: "test", Subjects: []string{"*.broadcast.agent.registration"}}},

		Log: hclog.New(&hclog.LoggerOptions{Output: s.log}),
	}
	edit(s, &cfg, &o)
	o.Verifier = choria.NewVerifier(cfg.Tokens())
	s.broker = newBroker(t, cfg, o)
	s.broker.trustInterval = testTrustInterval
	open(t, s.broker)
	accept(t, s.broker)
	return s
}

// anonymous returns the option for TLS without a certificate.
func (s *site) anonymous() nats.Option {
	return nats.Secure(&tls.Config{RootCAs: s.ca.Pool(), MinVersion: tls.VersionTLS12})
}

// certificate returns the option for TLS with a certificate of that name.
func (s *site) certificate(name string) nats.Option { return nats.Secure(s.ca.Client(nil, name)) }

// holder has a key and a token for that key.
type holder struct {
	token string
	key   ed25519.PrivateKey
}

// issue returns a new key and a token for it that is valid for an hour from now, signed by the issuer.
func issue(t *testing.T, claims choria.Claims, issuer ed25519.PrivateKey, now time.Time) holder {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims.PublicKey = hex.EncodeToString(public)
	token, err := choria.IssueToken(claims, issuer, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return holder{token, key}
}

// node issues a token of a node.
func (s *site) node(identity string, permissions ...string) holder {
	claims := choria.ServerClaims(identity, []string{"choria"}, nil)
	claims.Permissions = permitted(permissions)
	return issue(s.t, claims, s.issuer, time.Now())
}

// client issues a token of a client.
func (s *site) client(callerID string, permissions ...string) holder {
	return issue(s.t, clientClaims(callerID, permitted(permissions)), s.issuer, time.Now())
}

// clientClaims returns the claims of a client's token; issue adds the public key.
func clientClaims(caller string, permissions map[string]bool) choria.Claims {
	return choria.Claims{Purpose: choria.PurposeClient, OrgUnit: "choria", CallerID: caller, Permissions: permissions}
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func permitted(names []string) map[string]bool {
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all
}

// options present the token twice and sign the nonce, as Choria does.
func (h holder) options() []nats.Option {
	return []nats.Option{
		nats.Token(h.token),
		nats.UserJWT(func() (string, error) { return h.token, nil }, func(nonce []byte) ([]byte, error) {
			return ed25519.Sign(h.key, nonce), nil
		}),
	}
}

// withToken returns options for TLS without a certificate, and the token.
func (s *site) withToken(h holder, more ...nats.Option) []nats.Option {
	return append(append(h.options(), s.anonymous()), more...)
}

func (s *site) connect(options ...nats.Option) (*nats.Conn, error) {
	return s.connectTo("tls://"+s.broker.Address(), options...)
}

// connectTo connects to the URL of one of the listeners.
func (s *site) connectTo(url string, options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.Timeout(5*time.Second), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	return nats.Connect(url, options...)
}

// user returns the user that the server has registered for a connection.
func (s *site) user(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	id, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	connections, err := s.broker.srv.Connz(&server.ConnzOptions{CID: id, Username: true})
	if err != nil || len(connections.Conns) != 1 {
		t.Fatalf("%v: %v", connections, err)
	}
	return connections.Conns[0].AuthorizedUser
}

// mustRefuse tries to connect, and fails the test unless the broker refuses that for the
// reason, counts it once, and logs it.
func (s *site) mustRefuse(t *testing.T, reason string, options ...nats.Option) {
	t.Helper()
	want := s.broker.auth.refusals.snapshot()
	want[reason]++
	nc, err := s.connect(options...)
	if err == nil {
		nc.Close()
		t.Fatal("admitted")
	}
	s.wantRefused(t, want, reason)
}

// wantRefused waits until the broker has counted the refusals, and logged one for the reason.
func (s *site) wantRefused(t *testing.T, want map[string]uint64, reason string) {
	t.Helper()
	wait.Eventually(t, func() error {
		if have := s.broker.auth.refusals.snapshot(); !maps.Equal(have, want) {
			return fmt.Errorf("refused %v, want %v", have, want)
		}
		line := "connection refused: reason=" + reason + " address=127.0.0.1"
		if !strings.Contains(s.log.String(), line) { // it is logged a moment after it is counted
			return fmt.Errorf("the log lacks %q:\n%s", line, s.log)
		}
		return nil
	})
}

// createStreams creates buckets, a governor and the stream of registrations.
func createStreams(t *testing.T, s *site) {
	t.Helper()
	js := jetStreamOf(t, s.broker)
	for _, name := range []string{"CONFIG", "CHORIA_LEADER_ELECTION"} {
		kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.PutString(t.Context(), "color", "green"); err != nil {
			t.Fatal(err)
		}
	}
	for name, subject := range map[string]string{
		"GOVERNOR_G": "choria.governor.G", contract.StreamRegistration: contract.SubjectNodeMetadata + ">",
	} {
		cfg := jetstream.StreamConfig{Name: name, Subjects: []string{subject}}
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
}
