// Package examples tests the examples: appliances start with them, and the files that Muster's
// commands generate are as generated.
package examples

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/cli"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/proxy"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var update = flag.Bool("update", false, "write the files that Muster's commands generate")

const (
	broker = "collector1.example.net"
	node   = "web1.example.net"
	client = "alice.mcollective"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// newSite makes the files of a site that the examples name, as their READMEs say.
func newSite(t *testing.T, issuer bool) *enroll.Site {
	t.Helper()
	options := enroll.Options{
		Dir: filepath.Join(t.TempDir(), "muster"), Name: broker, Listen: "0.0.0.0:4222", Issuer: issuer,
	}
	site, err := enroll.Init(options, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(site.Dir, "console.token")
	if err := os.WriteFile(token, []byte("a token of the console\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return site
}

// enrollNode returns the directory of the files for a node.
func enrollNode(t *testing.T, site *enroll.Site, name string) string {
	t.Helper()
	dir, err := site.Enroll(enroll.Node{
		Identity: name, Broker: broker + ":4222", InstallDir: "/etc/choria",
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// enrollClient returns the directory of the files for a client.
func enrollClient(t *testing.T, site *enroll.Site, name string) string {
	t.Helper()
	dir, err := site.EnrollClient(enroll.Client{
		Identity: name, Broker: broker + ":4222", InstallDir: "~/.config/choria",
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs an appliance with an example, on free ports and with the files of the site.
func start(t *testing.T, site *enroll.Site, text string) *appliance.Appliance {
	t.Helper()
	text = strings.NewReplacer(
		"/etc/muster/", site.Dir+"/",
		"192.0.2.0/24", "127.0.0.0/8", // the test is on loopback
	).Replace(text)
	cfg, err := appliance.Parse("appliance.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if warnings := cfg.Warnings(); len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	b := &cfg.Broker
	if b.TLS.CA != "" && len(b.TLS.CRL) == 0 || len(b.Issuers) > 0 && b.RevokedTokens == "" {
		t.Error("the configuration does not name what is revoked")
	}
	cfg.DataDir = t.TempDir()
	cfg.Broker.Listen = "127.0.0.1:0"
	if cfg.Broker.WebSocket.Listen != "" {
		cfg.Broker.WebSocket.Listen = "127.0.0.1:0"
	}
	if cfg.Broker.Leafnodes.Listen != "" {
		cfg.Broker.Leafnodes.Listen = "127.0.0.1:0"
	}
	cfg.Console.Listen = "127.0.0.1:0"
	return testkit.Open(t, cfg)
}

// certificateOf returns the option to connect with the certificate in a directory.
func certificateOf(t *testing.T, dir string) nats.Option {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return nats.Secure(&tls.Config{
		RootCAs: pool(t, dir), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
	})
}

func pool(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(read(t, dir, "ca.pem"))) {
		t.Fatal("ca.pem holds no certificate")
	}
	return roots
}

// choriaOptions gives the connection an inbox as Choria's clients have, and keeps it from
// printing the permissions violations that tests provoke.
func choriaOptions(o *nats.Options) error {
	o.InboxPrefix = "mcollective.reply"
	o.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {}
	return nil
}

// mayUseJetStream reports whether the connection may use JetStream: clients may, nodes may not.
func mayUseJetStream(t *testing.T, nc *nats.Conn) bool {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.AccountInfo(t.Context())
	return err == nil
}

func TestTLS_NodesAndClientsConnect(t *testing.T) {
	site := newSite(t, false)
	nodeDir, clientDir := enrollNode(t, site, node), enrollClient(t, site, client)
	a := start(t, site, read(t, "tls", "appliance.toml"))
	if nc := testkit.Connect(t, a, certificateOf(t, nodeDir), choriaOptions); mayUseJetStream(t, nc) {
		t.Error("a node may use JetStream")
	}
	if nc := testkit.Connect(t, a, certificateOf(t, clientDir), choriaOptions); !mayUseJetStream(t, nc) {
		t.Error("a client may not use JetStream")
	}
	compare(t, filepath.Join("tls", "server.conf"), read(t, nodeDir, "server.conf"))
	compare(t, filepath.Join("tls", "client.conf"), read(t, clientDir, "client.conf"))
}

func TestWebSocket_NodesConnect(t *testing.T) {
	site := newSite(t, false)
	dir := enrollNode(t, site, node)
	a := start(t, site, read(t, "websocket", "appliance.toml"))
	nc := testkit.ConnectTo(t, a.Listeners()["websocket"], certificateOf(t, dir), choriaOptions)
	if mayUseJetStream(t, nc) {
		t.Error("a node may use JetStream")
	}
}

// TestWebSocket_TokensPassAProxyThatEndsTLS adds the table of the README to the example with an issuer.
func TestWebSocket_TokensPassAProxyThatEndsTLS(t *testing.T) {
	site := newSite(t, true)
	dir := enrollNode(t, site, node)
	_, table, _ := strings.Cut(read(t, "websocket", "README.md"), "```toml\n")
	table, _, _ = strings.Cut(table, "```")
	text := read(t, "issuer", "appliance.toml")
	a := start(t, site, strings.Replace(text, publicKey.FindString(text), site.IssuerKey(), 1)+table)
	testkit.ConnectTo(t, a.Listeners()["websocket"], append(tokenOf(t, dir), choriaOptions)...)
}

// edge is the edge of the site ams.
const edge = "collector1.ams.example.net"

// enrollEdge returns the directory of the files for the edge.
func enrollEdge(t *testing.T, site *enroll.Site) string {
	t.Helper()
	dir, err := site.EnrollEdge(enroll.Edge{
		Identity: edge, Site: "ams", Hub: broker + ":4222", Listen: "0.0.0.0:4222", InstallDir: "/etc/muster",
		Data: "/var/lib/muster",
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// register publishes a registration that is signed with the certificate in a directory.
func register(t *testing.T, nc *nats.Conn, name, dir string) {
	t.Helper()
	body, err := choria.FileBody("facts.json", time.Now(), false, []byte(`{"os":{"name":"Debian"}}`), true)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	request := choria.NewRegistration(strings.Repeat("7", 32), name, "mcollective", time.Now(), body)
	request.Caller = "choria=" + name
	raw, err := request.EncodeV1(pair.PrivateKey.(*rsa.PrivateKey), read(t, dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("mcollective.broadcast.agent.registration", raw); err != nil {
		t.Fatal(err)
	}
}

func TestEdge_HubGetsWhatNodesRegister(t *testing.T) {
	const name = "web1.ams.example.net"
	site := newSite(t, false)
	edgeDir, nodeDir := enrollEdge(t, site), enrollNode(t, site, name)
	compare(t, filepath.Join("edge", "edge.toml"), read(t, edgeDir, "appliance.toml"))
	hub := start(t, site, read(t, "edge", "hub.toml"))
	a := start(t, &enroll.Site{Dir: edgeDir},
		strings.Replace(read(t, "edge", "edge.toml"), broker+":4222", hub.BrokerAddress(), 1))
	registerAt(t, a, hub, site, name, nodeDir)
}

func TestEdge_OverWebSocketThroughAProxy(t *testing.T) {
	const name = "web1.ams.example.net"
	site := newSite(t, false)
	edgeDir, nodeDir := enrollEdge(t, site), enrollNode(t, site, name)
	hub := start(t, site, strings.NewReplacer("# [broker.websocket]", "[broker.websocket]",
		"# listen = ", "listen = ").Replace(read(t, "edge", "hub.toml")))
	p := proxy.New(proxy.Options{User: "edge", Password: "secret"})
	t.Cleanup(p.Close)
	url := "http://edge:secret@" + p.Address() + "\n"
	if err := os.WriteFile(filepath.Join(edgeDir, "proxy"), []byte(url), 0o600); err != nil {
		t.Fatal(err)
	}
	a := start(t, &enroll.Site{Dir: edgeDir}, strings.Replace(read(t, "edge", "edge-wss.toml"),
		"wss://"+broker+":443", hub.Listeners()["websocket"], 1))
	registerAt(t, a, hub, site, name, nodeDir)
	if len(p.Targets()) == 0 {
		t.Error("nothing went through the proxy")
	}
}

// registerAt lets a node register at an edge, and waits until its hub has the registration.
func registerAt(t *testing.T, a, hub *appliance.Appliance, site *enroll.Site, name, nodeDir string) {
	t.Helper()
	register(t, testkit.Connect(t, a, certificateOf(t, nodeDir), choriaOptions), name, nodeDir)
	js, err := jetstream.New(testkit.Connect(t, hub, nats.RootCAs(site.Files().CA),
		nats.Token(strings.TrimSpace(read(t, hub.DataDir(), "admin.token")))))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "CHORIA_REGISTRATION")
	if err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		_, err := stream.GetLastMsgForSubject(t.Context(), "choria.sites.ams.choria.node_metadata."+name)
		return err
	})
}

// tokenOf returns the options to connect with the token in a directory.
func tokenOf(t *testing.T, dir string) []nats.Option {
	t.Helper()
	token := strings.TrimSpace(read(t, dir, "server.jwt"))
	seed, err := hex.DecodeString(strings.TrimSpace(read(t, dir, "server.seed")))
	if err != nil {
		t.Fatal(err)
	}
	return []nats.Option{nats.Token(token), nats.UserJWT(
		func() (string, error) { return token, nil },
		func(nonce []byte) ([]byte, error) { return ed25519.Sign(ed25519.NewKeyFromSeed(seed), nonce), nil },
	)}
}

// publicKey matches a public key in hex.
var publicKey = regexp.MustCompile(`[0-9a-f]{64}`)

func TestIssuer_NodesConnect(t *testing.T) {
	site := newSite(t, true)
	dir := enrollNode(t, site, node)
	text := read(t, "issuer", "appliance.toml")
	key := publicKey.FindString(text)
	a := start(t, site, strings.Replace(text, key, site.IssuerKey(), 1))

	options := append(tokenOf(t, dir), choriaOptions, nats.Secure(&tls.Config{
		RootCAs: pool(t, dir), MinVersion: tls.VersionTLS12,
	}))
	nc := testkit.Connect(t, a, options...)
	if mayUseJetStream(t, nc) {
		t.Error("a node may use JetStream")
	}
	compare(t, filepath.Join("issuer", "server.conf"),
		strings.Replace(read(t, dir, "server.conf"), site.IssuerKey(), key, 1))
}

func TestImported_IsWhatImportMakes(t *testing.T) {
	var out, remarks bytes.Buffer
	path := filepath.Join("imported", "broker.conf")
	if status := cli.Main([]string{"import", path}, &out, &remarks); status != 0 {
		t.Fatalf("muster import: %d %s", status, &remarks)
	}
	compare(t, filepath.Join("imported", "appliance.toml"),
		strings.Replace(out.String(), path, "/etc/choria/broker.conf", 1))
	cfg, err := appliance.Parse("appliance.toml", out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if warnings := cfg.Warnings(); len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
}

// compare fails the test if a file is not as generated; with -update it writes the file.
func compare(t *testing.T, path, generated string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(generated), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have := read(t, path); have != generated {
		t.Errorf("%s\n%s\nis not as generated; write it with go test ./examples -update:\n%s", path, have, generated)
	}
}
