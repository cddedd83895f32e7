package broker

import (
	"crypto/tls"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/nats-io/nats.go"
)

// websocketSite runs a site with a port for WebSocket.
func websocketSite(t *testing.T, edit func(*Config)) *site {
	t.Helper()
	return openSite(t, func(c *Config) {
		c.WebSocket.Listen = "127.0.0.1:0"
		if edit != nil {
			edit(c)
		}
	})
}

// websocketURL returns the URL of the site's port for WebSocket.
func (s *site) websocketURL() string { return s.broker.Listeners()[0].URL }

// connectWebSocket connects over WebSocket.
func (s *site) connectWebSocket(options ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(s.websocketURL(), append(options, nats.Timeout(5*time.Second), nats.NoReconnect())...)
}

func TestWebSocket_RefusesUntilAccept(t *testing.T) {
	cfg, log := DefaultConfig(), &syncBuffer{}
	cfg.WebSocket.Listen = "127.0.0.1:0"
	b := newBroker(t, cfg, testOptions(t))
	open(t, b)
	url := b.Listeners()[0].URL
	if nc, err := nats.Connect(url); err == nil {
		nc.Close()
		t.Fatal("admitted before Accept")
	}
	if have := b.auth.refusals.snapshot()["starting"]; have != 1 {
		t.Errorf("%d are refused because the appliance starts, want 1\n%s", have, log)
	}
	accept(t, b)
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	b.RefuseNew()
	if nc, err := nats.Connect(url); err == nil {
		nc.Close()
		t.Error("admitted after RefuseNew")
	}
}

func TestWebSocket_OpenNamesTheKeyOfATakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := DefaultConfig()
	cfg.WebSocket.Listen = taken.Addr().String()
	err = newBroker(t, cfg, testOptions(t)).Open(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "broker.websocket.listen: listen tcp") {
		t.Errorf("have %v", err)
	}
}

// TestWebSocket_RenewedFilesApply changes the certificate of the broker, and then the CA of the nodes.
func TestWebSocket_RenewedFilesApply(t *testing.T) {
	s := websocketSite(t, nil)
	old, err := s.connectWebSocket(s.certificate("web1"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	names := func() []string {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.websocketURL(), "wss://"),
			&tls.Config{RootCAs: s.ca.Pool(), MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].DNSNames
	}
	if have := names(); have[0] != "broker.test" {
		t.Fatalf("the certificate is for %s", have)
	}
	certificate, key := s.ca.Pair(nil, "renewed.test")
	for file, text := range map[string]string{s.broker.cfg.TLS.Cert: certificate, s.broker.cfg.TLS.Key: key} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.broker.Reload(s.broker.cfg.Roles)
	if have := names(); have[0] != "renewed.test" {
		t.Errorf("the certificate is for %s after it was renewed", have)
	}
	if !old.IsConnected() {
		t.Error("a connection has ended")
	}
}

func TestWebSocket_ConfigIsChecked(t *testing.T) {
	const issuers = "[issuers]\nchoria = '4aec06a5bd3ef1ef82acc13357287a9a0a55a4cbceea433837d20c7c7604ea64'\n"
	const certificates = "[tls]\ncert = 'c.pem'\nkey = 'k.pem'\nca = 'ca.pem'\n"
	for name, test := range map[string]struct{ text, want string }{
		"lab":             {"[websocket]\nlisten = '127.0.0.1:0'", ""},
		"TLS":             {certificates + "[websocket]\nlisten = '0.0.0.0:443'", ""},
		"proxy":           {certificates + issuers + "[websocket]\nlisten = '0.0.0.0:80'\nbehind_proxy = true", ""},
		"origin":          {"[websocket]\nlisten = '127.0.0.1:0'\norigins = ['https://a.example:8443']", ""},
		"open lab":        {"[websocket]\nlisten = '0.0.0.0:80'", "open to the network and not encrypted"},
		"lab and proxy":   {"[websocket]\nlisten = '127.0.0.1:0'\nbehind_proxy = true", "no token is accepted"},
		"no tokens":       {certificates + "[websocket]\nlisten = '0.0.0.0:80'\nbehind_proxy = true", "no token is accepted"},
		"not a port":      {"[websocket]\nlisten = '443'", "is not an address and a port"},
		"nothing listens": {"[websocket]\ncompression = true", "the other keys of [broker.websocket] have no effect"},
		"not an origin":   {"[websocket]\nlisten = '127.0.0.1:0'\norigins = ['a.example']", "is not an origin"},
		"all origins":     {"[websocket]\nlisten = '127.0.0.1:0'\norigins = ['*']", "is not an origin"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			err := config.Load("broker.toml", []byte(test.text), &cfg)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want %q", err, test.want)
			}
		})
	}
}
