package broker

import (
	"crypto/tls"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestListeners_RefuseAsConfigured tries over each listener what a setting or the state of the appliance refuses.
func TestListeners_RefuseAsConfigured(t *testing.T) {
	web1 := func(s *site) nats.Option { return s.certificate("web1") }
	client := func(s *site) nats.Option { return s.certificate("rip.mcollective") }
	for name, test := range map[string]struct {
		edit    func(*Config)
		prepare func(t *testing.T, s *site, dial dialer)
		present func(*site) nats.Option
		reason  string
		leaf    bool // it holds for leaf nodes too
	}{
		"nodes": {
			edit: func(c *Config) { c.DenyServers = true }, present: web1, reason: "servers-denied",
		},
		"clients of other hosts": {
			edit:    func(c *Config) { c.ClientHosts = prefixes("192.0.2.0/24") },
			present: client, reason: "wrong-host",
		},
		"more than one of an identity": {
			edit: func(c *Config) { c.MaxPerIdentity = 1 },
			prepare: func(t *testing.T, s *site, dial dialer) {
				mustDial(t, s, dial, s.certificate("web1"))
			},
			present: web1, reason: "max-connections-per-identity",
		},
		"more than in all": {
			edit: func(c *Config) { c.MaxConnections = 2 },
			prepare: func(t *testing.T, s *site, dial dialer) {
				mustDial(t, s, dial, s.certificate("web2"))
			},
			present: web1, reason: "max-connections",
		},
		"all before Accept": {
			prepare: func(_ *testing.T, s *site, _ dialer) { s.broker.auth.accepts.Store(false) },
			present: web1, reason: "starting", leaf: true,
		},
		"all after RefuseNew": {
			prepare: func(_ *testing.T, s *site, _ dialer) { s.broker.RefuseNew() },
			present: web1, reason: "stopping", leaf: true,
		},
		"old TLS": {
			present: func(s *site) nats.Option {
				config := s.ca.Client(nil, "web1")
				config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
				return nats.Secure(config)
			},
			reason: "handshake", leaf: true,
		},
		"long chains of certificates": {
			present: func(s *site) nats.Option {
				config := s.ca.Client(nil, "web1")
				chain := &config.Certificates[0].Certificate
				for range 4 {
					*chain = append(*chain, (*chain)[0])
				}
				return nats.Secure(config)
			},
			reason: "limit", leaf: true,
		},
	} {
		for over, dial := range dialers {
			if ofLeafnodes(over) && !test.leaf {
				continue
			}
			t.Run(over+"/"+name, func(t *testing.T) {
				s := openListeners(t, test.edit)
				if test.prepare != nil {
					test.prepare(t, s, dial)
				}
				s.mustRefuseOver(t, dial, test.reason, test.present(s))
			})
		}
	}
}

// TestListeners_LeafnodesAreNotCounted connects a leaf node where max_connections are open, as docs/leafnodes.md says.
func TestListeners_LeafnodesAreNotCounted(t *testing.T) {
	s := openListeners(t, func(c *Config) { c.MaxConnections = 2 })
	mustDial(t, s, dialers["nats"], s.certificate("web2"))
	s.mustRefuseOver(t, dialers["nats"], "max-connections", s.certificate("web1"))
	mustDial(t, s, dialers["leafnodes"], s.certificate(leafName))
	s.mustRefuseOver(t, dialers["websocket"], "max-connections", s.certificate("web1"))
}
