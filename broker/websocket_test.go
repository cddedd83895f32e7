package broker

import (
	"net"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/nats-io/nats.go"
)

// websocketURL returns the URL of the site's port for WebSocket.
func (s *site) websocketURL() string {
	for _, l := range s.broker.Listeners() {
		if l.Name == "websocket" {
			return l.URL
		}
	}
	s.t.Fatal("the broker does not listen for WebSocket")
	return ""
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
		"many origins":    {"[websocket]\nlisten = '127.0.0.1:0'\norigins = ['https://*.a']", "is not an origin"},
		"port of origin":  {"[websocket]\nlisten = '127.0.0.1:0'\norigins = ['https://a:99999']", "is not an origin"},
		"user of origin":  {"[websocket]\nlisten = '127.0.0.1:0'\norigins = ['https://u:p@a']", "https://u:xxxxx@a"},
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
