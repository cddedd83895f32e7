package broker

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/link"
	"github.com/muster-appliance/muster/internal/testkit/proxy"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// useToken makes a remote present a token.
func (r *LeafRemote) useToken(t *testing.T, h holder) {
	t.Helper()
	r.Token, r.Seed = h.token, filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(r.Seed, []byte(hex.EncodeToString(h.key.Seed())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLeafRemote_Connects connects with each of the proofs, and over WebSocket.
func TestLeafRemote_Connects(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(hub *site, r *LeafRemote){
		"certificate": func(*site, *LeafRemote) {},
		"token":       func(hub *site, r *LeafRemote) { r.useToken(t, hub.client("choria=ams")) },
		"WebSocket":   func(hub *site, r *LeafRemote) { r.URLs = []string{hub.websocketURL()} },
		"token over WebSocket": func(hub *site, r *LeafRemote) {
			r.URLs = []string{hub.websocketURL()}
			r.useToken(t, hub.client("choria=ams"))
		},
		"compressed": func(_ *site, r *LeafRemote) { r.Compression = compressionFast },
		"proxy": func(_ *site, r *LeafRemote) {
			p := proxy.New(proxy.Options{User: "ams", Password: "secret"})
			t.Cleanup(p.Close)
			r.Proxy = "http://ams:secret@" + p.Address()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hub := openSite(t, func(c *Config) {
				acceptLeafnode(c, CrossNodes)
				if strings.HasPrefix(name, "token") { // the certificate, which is presented too, is not accepted
					c.Leafnodes.Peers = map[string]Crossing{"choria=ams": CrossNodes}
				}
				c.Leafnodes.Compression = compressionFast
				c.WebSocket.Listen = "127.0.0.1:0"
			})
			leaf := openLeaf(t, hub, leafName, CrossClients, func(_ *Config, r *LeafRemote) { edit(hub, r) })
			waitLinked(t, leaf)
			l := leaf.broker.Links()[0]
			if l.Compression != map[bool]string{true: "s2_fast", false: "off"}[name == "compressed"] {
				t.Errorf("compression is %q", l.Compression)
			}
		})
	}
}

// TestLeafRemote_ReportsWhyItIsNotConnected requires that the state of the link, and the log, say what is wrong.
func TestLeafRemote_ReportsWhyItIsNotConnected(t *testing.T) {
	t.Parallel()
	hub := openAccepting(t, CrossNodes)
	port := hub.broker.leafAddress()[strings.LastIndex(hub.broker.leafAddress(), ":"):]
	for name, c := range map[string]struct {
		certificate string
		edit        func(*LeafRemote)
		want        string
	}{
		"not a peer": {"web1", func(*LeafRemote) {}, "Authorization Violation"},
		"another CA": {leafName, func(r *LeafRemote) {
			r.TLS.CA = filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(r.TLS.CA, []byte(authority.New(t, time.Now()).PEM()), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "certificate signed by unknown authority"},
		"another name":    {leafName, func(r *LeafRemote) { r.URLs = []string{"tls://localhost" + port} }, "localhost"},
		"another address": {leafName, func(r *LeafRemote) { r.URLs = []string{"tls://127.0.0.2" + port} }, "127.0.0.2"},
		"nothing there":   {leafName, func(r *LeafRemote) { r.URLs = []string{"tls://127.0.0.1:1"} }, "connection refused"},
		"an expired certificate": {leafName, func(r *LeafRemote) {
			dir := t.TempDir()
			hub.ca.Files(dir, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, leafName)
			r.TLS.Cert, r.TLS.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		}, otherSideEnded},
		"the other port": {leafName, func(r *LeafRemote) {
			r.URLs = []string{"tls://" + hub.broker.Address()}
		}, "wrong port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaf := openLeaf(t, hub, c.certificate, CrossClients, func(_ *Config, r *LeafRemote) { c.edit(r) })
			wait.Eventually(t, func() error {
				l := leaf.broker.Links()[0]
				if l.Connected || !strings.Contains(l.Error, c.want) {
					return fmt.Errorf("%+v, want %q\n%s", l, c.want, leaf.log)
				}
				if !strings.Contains(leaf.log.String(), "leaf node not connected; it is tried again: name=hub") {
					return fmt.Errorf("the log is\n%s", leaf.log)
				}
				return nil
			})
			if text := leaf.log.String(); strings.Contains(text, "ERROR") || strings.Contains(text, "TLS certificate chain") {
				t.Errorf("the log is\n%s", text)
			}
		})
	}
}

// TestLeafRemote_ConnectsAgain cuts a link.
func TestLeafRemote_ConnectsAgain(t *testing.T) {
	t.Parallel()
	hub := openAccepting(t, CrossNodes)
	wan, err := link.New(hub.broker.leafAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wan.Close)
	leaf := openLeaf(t, hub, leafName, CrossClients, func(_ *Config, r *LeafRemote) {
		r.URLs = []string{"tls://" + wan.Address()}
	})
	waitLinked(t, hub, leaf)
	since := leaf.broker.Links()[0].Since
	wan.Cut()
	wait.Eventually(t, func() error {
		for _, s := range []*site{hub, leaf} {
			if l := s.broker.Links()[0]; l.Connected || l.Address != "127.0.0.1" {
				return fmt.Errorf("%+v", l)
			}
		}
		return nil
	})
	wan.Heal()
	waitLinked(t, hub, leaf)
	for _, s := range []*site{hub, leaf} {
		for _, line := range []string{
			"leaf node connected: name=", "leaf node disconnected: name=", "error=\"" + otherSideEnded,
		} {
			if !strings.Contains(s.log.String(), line) {
				t.Errorf("%q is not in the log\n%s", line, s.log)
			}
		}
	}
	if l := leaf.broker.Links()[0]; !l.Since.After(since) {
		t.Errorf("connected since %v, before it was cut at %v", l.Since, since)
	}
	hub.startNode(t, "hub1")
	leaf.startNode(t, "ams1")
	hub.choriaClient(t, "hub.mcollective").reaches(t, "mcollective.broadcast.agent.discovery", "ams1", "hub1")
}

// TestLeafRemote_HasAPort requires that the errors of a link are found by the host and port that NATS names.
func TestLeafRemote_HasAPort(t *testing.T) {
	t.Parallel()
	for text, address := range map[string]string{
		"tls://hub":        "hub:7422",
		"tls://hub:":       "hub:7422",
		"tls://[::1]":      "[::1]:7422",
		"tls://hub:4223":   "hub:4223",
		"nats://127.0.0.1": "127.0.0.1:7422",
		"wss://hub":        "hub:443",
		"wss://hub/nats":   "hub:443",
		"wss://hub:8443":   "hub:8443",
	} {
		t.Run(text, func(t *testing.T) {
			r := newLeafRemote("hub")
			r.URLs, r.Allow = []string{text}, CrossClients
			l := Leafnodes{Remotes: map[string]*LeafRemote{"hub": r}}
			if !newLinks(&l, hclog.NewNullLogger()).noteDialError(address, "connection refused") {
				t.Errorf("no link is at %s", address)
			}
			b := &Broker{}
			b.cfg.Leafnodes = l
			o, err := r.options(b)
			if err != nil {
				t.Fatal(err)
			}
			if o.URLs[0].Host != address {
				t.Errorf("NATS connects to %s, want %s", o.URLs[0].Host, address)
			}
		})
	}
}

func TestLeafRemote_ReportsAnotherWordOnce(t *testing.T) {
	for allow, want := range map[string]string{
		"allow = 'Nodes'\n": `x:2: allow: "Nodes" is not one of nodes, clients, both`,
		"":                  `x: allow: not set; write "clients" if its clients may send requests here`,
	} {
		err := config.Load("x", []byte("urls = ['tls://hub.example.net']\n"+allow), newLeafRemote("hub"))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestLeafRemote_UsesRenewedFiles replaces the CA and the certificates of both sides while the link is cut.
func TestLeafRemote_UsesRenewedFiles(t *testing.T) {
	t.Parallel()
	hub := openAccepting(t, CrossNodes)
	leaf := openLeaf(t, hub, leafName, CrossClients, nil)
	waitLinked(t, hub, leaf)
	first := leaf.broker.Links()[0].Since
	next := authority.New(t, time.Now())
	for s, name := range map[*site]string{leaf: leafName, hub: "broker.test"} {
		dir := filepath.Dir(s.broker.cfg.TLS.Cert)
		next.Files(dir, nil, name)
		s.broker.Reload(s.broker.cfg.Roles) // the hub ends the link, whose certificate is of the old CA
	}
	wait.Eventually(t, func() error {
		if l := leaf.broker.Links()[0]; !l.Connected || !l.Since.After(first) {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
}

// TestLeafRemote_Lab links two labs without certificates, by the names of their appliances.
func TestLeafRemote_Lab(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Leafnodes.Listen, cfg.Leafnodes.Peers = "127.0.0.1:0", map[string]Crossing{"broker.test": CrossNodes}
	hub := newBroker(t, cfg, testOptions(t))
	open(t, hub)
	accept(t, hub)
	remote := newLeafRemote("hub")
	remote.URLs, remote.Allow = []string{"nats://" + hub.leafAddress()}, CrossClients
	cfg = DefaultConfig()
	cfg.Leafnodes.Remotes["hub"] = remote
	leaf := newBroker(t, cfg, testOptions(t))
	open(t, leaf)
	wait.Eventually(t, func() error {
		if l := leaf.Links()[0]; !l.Connected {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
}

func TestLeafnodes_Validate(t *testing.T) {
	text := `
[leafnodes]
listen = "0.0.0.0:7422"
compression = "s2_auto"
[leafnodes.peers]
"a b" = "nodes"
"web1" = "all"
[leafnodes.remote.one]
urls = ["tls://hub", "wss://hub", "http://hub", "nats://hub:7422", "tls://u:p@hub:7422"]
token = "x"
proxy = "http://user@proxy:3128"
[leafnodes.remote."a.b"]
enabled = false
`
	cfg := DefaultConfig()
	err := config.Load("broker.toml", []byte(text), &cfg)
	if err == nil {
		t.Fatal("valid")
	}
	for _, want := range []string{
		`leafnodes.listen: "0.0.0.0:7422" is open to the network and not encrypted`,
		`leafnodes.compression: "s2_auto" is not one of off, s2_fast`,
		`leafnodes.peers.a b: "a b" is not a valid name of a leaf node`,
		`leafnodes.peers.web1: "all" is not one of nodes, clients, both`,
		`leafnodes.remote.one.allow: not set`,
		`leafnodes.remote.one.urls: "http://hub" is not a valid URL`,
		`leafnodes.remote.one.urls: "nats://hub:7422" is not encrypted`,
		`leafnodes.remote.one.urls: "tls://u:xxxxx@hub:7422" has a user`,
		`leafnodes.remote.one.urls: wss:// and tls:// are mixed`,
		`leafnodes.remote.one.token: token and seed are needed together`,
		`leafnodes.remote.one.proxy: the URL of the proxy has a user or a password alone`,
		`leafnodes.remote.a.b: "a.b" is not a valid name`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%s", want, err)
		}
	}
}

func TestLeafnodes_AddressesAreChecked(t *testing.T) {
	const listen = "listen = '127.0.0.1:0'\n"
	const remote = "[leafnodes.remote.hub]\nallow = 'both'\ntoken = 'x'\nseed = '/s'\n"
	for text, want := range map[string]string{
		listen + "advertise = 'foo'":                  `advertise: "foo" is not a host`,
		listen + "advertise = 'foo:99999'":            `"foo:99999" is not a host and a port`,
		listen + "advertise = ':7422'":                `":7422" is not a host and a port`,
		listen + "advertise = 'hub.example.net:7422'": "",
		listen + "advertise = '[2001:db8::1]:7422'":   "",
		"advertise = 'hub:7422'":                      "leafnodes.advertise: set, but listen is not",
		remote + "urls = 'tls://hub'\n[leafnodes.remote.two]\nallow = 'both'\ntoken = 'x'\nseed = '/s'\n" +
			"urls = ['tls://other', 'tls://hub:7422']": "two.urls: remote.hub has the same identity at the same broker",
		remote + "urls = 'tls://hub'\n[leafnodes.remote.two]\nallow = 'both'\ntoken = 'y'\nseed = '/s'\n" +
			"urls = 'tls://hub'": "",
		remote + "urls = 'tls://:7422'":                           `hub.urls: "tls://:7422" is not a valid URL`,
		remote + "urls = 'tls://hub:99999'":                       `hub.urls: "tls://hub:99999" is not a valid URL`,
		remote + "urls = 'tls://hub:0'":                           `hub.urls: "tls://hub:0" is not a valid URL`,
		remote + "urls = 'tls://h'\nproxy = 'http://u:p@p:99999'": "hub.proxy: the URL of the proxy is not",
		remote + "urls = 'tls://h'\nproxy = 'http://u:p@p'":       "",
	} {
		t.Run(text, func(t *testing.T) {
			cfg := DefaultConfig()
			err := config.Load("broker.toml", []byte("[leafnodes]\n"+text), &cfg)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("have %v, want %s", err, want)
			}
		})
	}
}
