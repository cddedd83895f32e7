package cli

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// enrollEdge enrolls the edge localhost of a site, copies its files to a directory of the edge, and returns the
// configuration there, with free ports.
func (s *madeSite) enrollEdge(site string, flags ...string) (config string) {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "edge")
	s.muster(append([]string{"enroll", "--site", site, "localhost", "--install-dir", dir}, flags...)...)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(s.dir, "edges", "localhost"))); err != nil {
		s.t.Fatal(err)
	}
	config = filepath.Join(dir, "appliance.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, config, strings.Replace(string(text), "0.0.0.0:4222", freeAddress(s.t), 1)+
		"\n[console]\nlisten = \"127.0.0.1:0\"\n")
	return config
}

// TestEnroll_EdgeForwardsWhatNodesRegister follows what enroll prints: a node that is enrolled at the hub registers at
// the edge, and its registration arrives at the hub.
func TestEnroll_EdgeForwardsWhatNodesRegister(t *testing.T) {
	for verified, flags := range map[string][]string{"x509": nil, "jwt": {"--issuer"}} {
		t.Run(verified, func(t *testing.T) {
			hub := newMadeSite(t, flags...)
			config := ""
			if verified == "jwt" { // over WebSocket, behind a balancer that ends TLS
				config = hub.enrollEdge("ams", "--broker", "wss://"+hub.balancer()+"/nats")
			} else {
				config = hub.enrollEdge("ams")
			}
			status, out, errOut := muster(t, "check", "--config", config)
			if status != statusOK || strings.Contains(out+errOut, "warning") {
				t.Fatalf("%d %s%s", status, out, errOut)
			}
			hub.restart() // for the first site
			edge := startProcess(t, config)
			node := hub.enroll("web1.ams.example.net", "--broker", edge.broker)
			if have := node.keys["plugin.choria.middleware_hosts"]; have != "nats://"+edge.broker {
				t.Errorf("the node connects to %s", have)
			}
			nc, raw := node.start()
			register(t, nc, node, raw)
			wait.Eventually(t, func() error {
				_, out, errOut := muster(t, "node", "web1.ams.example.net", "--server", edge.console)
				if !strings.Contains(out, "up") {
					return fmt.Errorf("%s%s", out, errOut)
				}
				return nil
			})
			wait.Eventually(t, func() error { return hub.has("choria.sites.ams.choria.node_metadata.web1.ams.example.net") })
		})
	}
}

// balancer makes the hub accept WebSockets of a balancer once it is restarted, and returns the address of the balancer.
func (s *madeSite) balancer() string {
	s.t.Helper()
	address := freeAddress(s.t)
	appendTo(s.t, filepath.Join(s.dir, "appliance.toml"),
		"[broker.websocket]\nlisten = '"+address+"'\nbehind_proxy = true\n")
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	to := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: address})
	}}
	b := httptest.NewUnstartedServer(to)
	b.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	b.StartTLS()
	s.t.Cleanup(func() { b.CloseClientConnections(); b.Close() })
	return b.Listener.Addr().String()
}

// has returns an error unless the stream of registrations has a message on a subject.
func (s *madeSite) has(subject string) error {
	token, err := os.ReadFile(filepath.Join(s.dir, "data", "admin.token"))
	if err != nil {
		return err
	}
	nc, err := nats.Connect(s.broker, nats.Token(string(token)), nats.RootCAs(filepath.Join(s.dir, "ca.pem")))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	stream, err := js.Stream(s.t.Context(), "CHORIA_REGISTRATION")
	if err != nil {
		return err
	}
	_, err = stream.GetLastMsgForSubject(s.t.Context(), subject)
	return err
}

// sitesOf returns [broker.sites] of a configuration file.
func sitesOf(t *testing.T, file string) map[string]string {
	t.Helper()
	cfg, err := appliance.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Broker.Sites
}

func TestEnroll_EdgesMayForward(t *testing.T) {
	t.Run("with the table that init writes", func(t *testing.T) { testEdgesMayForward(t, true) })
	t.Run("without", func(t *testing.T) { testEdgesMayForward(t, false) })
}

func testEdgesMayForward(t *testing.T, hasTable bool) {
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	config := filepath.Join(s.dir, "appliance.toml")
	s.muster("init", "--name", "hub.example.net")
	if text, err := os.ReadFile(config); err != nil || !bytes.Contains(text, []byte("\n[broker.sites]\n")) {
		t.Fatalf("%s %v", text, err)
	} else if !hasTable {
		before, _, _ := bytes.Cut(text, []byte("\n# Appliances that forward"))
		write(t, config, string(before))
	}
	out := s.muster("enroll", "--site", "ams", "collector1.ams.example.net")
	if !strings.Contains(out, "Restart the hub") {
		t.Errorf("the first site needs a restart:\n%s", out)
	}
	out = s.muster("enroll", "--site", "fra", "collector1.fra.example.net")
	if !strings.Contains(out, "on SIGHUP") {
		t.Errorf("the second site needs SIGHUP:\n%s", out)
	}
	// A site of the edge of another site.
	out = s.muster("enroll", "--site", "rack1", "rack1.ams.example.net", "--broker", "collector1.ams.example.net:4222")
	if !strings.Contains(out, "on collector1.ams.example.net:\n\n  rack1 = \"rack1.ams.example.net\"\n") {
		t.Errorf("the edge between needs the site:\n%s", out)
	}
	s.muster("enroll", "--site", "fra", "collector2.fra.example.net", "--force")
	want := "map[ams:collector1.ams.example.net fra:collector2.fra.example.net rack1:collector1.ams.example.net]"
	if have := fmt.Sprint(sitesOf(t, config)); have != want {
		t.Errorf("have %s, want %s", have, want)
	}
}

// TestEnroll_SitesAreForTheOperatorToAdd checks that a configuration that the command does not understand is left as
// it is.
func TestEnroll_SitesAreForTheOperatorToAdd(t *testing.T) {
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	config := filepath.Join(s.dir, "appliance.toml")
	s.muster("init", "--name", "hub.example.net")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ = bytes.Cut(text, []byte("[broker.sites]"))
	edited := strings.Replace(string(text), "[broker]\n", "[broker]\nsites = {fra = \"collector1.fra.example.net\"}\n", 1)
	write(t, config, edited)
	out := s.muster("enroll", "--site", "ams", "collector1.ams.example.net")
	want := "Add this line to [broker.sites] in " + config + ":\n\n  ams = \"collector1.ams.example.net\"\n"
	if !strings.Contains(out, want) {
		t.Errorf("the line is not printed:\n%s", out)
	}
	if after, err := os.ReadFile(config); err != nil || string(after) != edited {
		t.Errorf("the configuration is %s %v", after, err)
	}
}

func TestEnroll_EdgesThatAreRefused(t *testing.T) {
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	s.muster("init", "--name", "hub.example.net")
	config := filepath.Join(s.dir, "appliance.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, "site = \"lhr\"\n"+string(text)+"ams = \"collector1.ams.example.net\"\n")
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"a client": {[]string{"--site", "fra", "--client", "x"}, statusUsage, "--site and --client"},
		"a collective": {
			[]string{"--site", "fra", "x", "--collective", "prod"}, statusUsage, "--collective is for nodes and clients",
		},
		"a broker without port": {[]string{"x", "--broker", "hub.example.net"}, statusUsage, "not a host and a port"},
		"a broker without host": {[]string{"x", "--broker", ":4222"}, statusUsage, "not a host and a port"},
		"a path for a node":     {[]string{"x", "--broker", "wss://hub/nats"}, statusUsage, "or a URL such as wss://"},
		"a user for an edge": {
			[]string{"--site", "fra", "x", "--broker", "wss://u:p@hub"}, statusUsage, "or a URL such as wss://",
		},
		"another scheme":       {[]string{"--site", "fra", "x", "--broker", "ws://hub:80"}, statusUsage, "such as wss://"},
		"a site of two tokens": {[]string{"--site", "a.b", "x"}, statusFailed, `the site "a.b" is not a valid name`},
		"the hub's site":       {[]string{"--site", "lhr", "x"}, statusFailed, "is the site of the hub itself"},
		"a site of another edge": {
			[]string{"--site", "ams", "collector2.ams.example.net"}, statusFailed, "--force replaces it",
		},
		"a name that is not a host": {[]string{"--site", "fra", "a_b"}, statusFailed, "not a valid host name"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"enroll", "--dir", s.dir}, test.args...)
			status, out, errOut := muster(t, args...)
			if status != test.status || !strings.Contains(errOut, test.want) {
				t.Errorf("status %d %s%s", status, out, errOut)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(s.dir, "edges")); err == nil {
		t.Error("files were made")
	}
}

// TestEnroll_BrokersOverWebSocket checks the URLs in the files of an edge, a node and a client.
func TestEnroll_BrokersOverWebSocket(t *testing.T) {
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	s.muster("init", "--name", "hub.example.net")
	for name, test := range map[string]struct {
		args       []string
		file, want string
	}{
		"edge": {
			[]string{"--site", "ams", "collector1.ams.example.net", "--broker", "wss://hub.example.net/nats"},
			"edges/collector1.ams.example.net/appliance.toml", `servers = ["wss://hub.example.net:443/nats"]`,
		},
		"node": {
			[]string{"web1.example.net", "--broker", "wss://hub.example.net"},
			"nodes/web1.example.net/server.conf", "plugin.choria.middleware_hosts = wss://hub.example.net:443\n",
		},
		"client": {
			[]string{"--client", "rip", "--broker", "wss://hub.example.net:8443"},
			"clients/rip.mcollective/client.conf", "plugin.choria.middleware_hosts = wss://hub.example.net:8443\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := s.muster(append([]string{"enroll"}, test.args...)...)
			if has := strings.Contains(out, "no port for WebSocket"); has != (name == "edge") {
				t.Errorf("prints %s", out)
			}
			text, err := os.ReadFile(filepath.Join(s.dir, test.file))
			if err != nil || !strings.Contains(string(text), test.want) {
				t.Errorf("%s has %s %v", test.file, text, err)
			}
		})
	}
}

// TestEnroll_EdgeAdmitsAsTheHubDoes checks that nodes and clients have the same rights at the edge as at the hub.
func TestEnroll_EdgeAdmitsAsTheHubDoes(t *testing.T) {
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	s.muster("init", "--name", "hub.example.net")
	config := filepath.Join(s.dir, "appliance.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, strings.Replace(string(text), "[broker]\n",
		"[broker]\ncollectives = [\"prod\", \"test\"]\nmain_collective = \"prod\"\n", 1)+
		"[broker.roles]\nclient = [\"*.ops\"]\ngovernor = [\"web*\"]\n"+
		"[broker.roles.reader]\n\"replicator.*\" = \"CHORIA_REGISTRATION, CHORIA_MACHINE\"\n")
	dir := filepath.Join(t.TempDir(), "edge")
	s.muster("enroll", "--site", "ams", "collector1.ams.example.net", "--install-dir", dir)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(s.dir, "edges", "collector1.ams.example.net"))); err != nil {
		t.Fatal(err)
	}
	edge, err := appliance.Load(filepath.Join(dir, "appliance.toml"))
	if err != nil {
		t.Fatal(err)
	}
	hub, err := appliance.Load(config)
	if err != nil {
		t.Fatal(err)
	}
	admission := func(c *appliance.Config) string {
		return fmt.Sprintf("%+v %v %s", c.Broker.Roles, c.Broker.Collectives, c.Broker.MainCollective)
	}
	if have, want := admission(edge), admission(hub); have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

func TestRevoke_EdgeIsNotANode(t *testing.T) {
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	s.muster("init", "--name", "hub.example.net")
	s.muster("enroll", "--site", "ams", "collector1.ams.example.net")
	out := s.muster("revoke", "collector1.ams.example.net")
	if !strings.Contains(out, "--site SITE --force") {
		t.Errorf("revoke does not say how to admit an edge again:\n%s", out)
	}
	if out := s.muster("rotate"); !strings.Contains(out, "Begin with the edges (collector1.ams.example.net)") {
		t.Errorf("rotate does not name the edges:\n%s", out)
	}
}
