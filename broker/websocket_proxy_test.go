package broker

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// openBehindProxy runs a site whose port for WebSocket is behind a proxy that ends TLS. It returns the URL of the
// proxy.
func openBehindProxy(t *testing.T, edit func(*Config)) (s *site, url string) {
	t.Helper()
	s = openListeners(t, func(c *Config) {
		c.WebSocket.BehindProxy = true
		if edit != nil {
			edit(c)
		}
	})
	return s, s.proxy(t)
}

// proxy runs a proxy that ends TLS before the site's port for WebSocket. It returns its URL.
func (s *site) proxy(t *testing.T) string {
	t.Helper()
	certificate, key := s.ca.Pair(nil, "proxy.test")
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			go relay(front, strings.TrimPrefix(s.websocketURL(), "ws://"))
		}
	}()
	return "wss://" + l.Addr().String()
}

// relay passes on what front sends and receives, without TLS.
func relay(front net.Conn, to string) {
	defer front.Close()
	back, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer back.Close()
	go func() {
		_, _ = io.Copy(back, front)
		_ = back.Close()
	}()
	_, _ = io.Copy(front, back)
}

// TestWebSocket_BehindAProxyAcceptsOnlyTokens presents each kind of credentials to a proxy that ends TLS, and directly
// to the port behind it.
func TestWebSocket_BehindAProxyAcceptsOnlyTokens(t *testing.T) {
	s, proxy := openBehindProxy(t, nil)
	good, system := s.node("web1"), s.withToken(s.client("choria=ops", "system_user"), nats.UserInfo("system", "secret"))
	list := func(options ...nats.Option) []nats.Option { return options }
	certificate, _ := s.ca.Pair(nil, "web2")
	forged := nats.WebSocketConnectionHeaders(http.Header{
		"X-Ssl-Client-Cert": {url.QueryEscape(certificate)}, "X-Ssl-Client-Verify": {"SUCCESS"},
		"X-Ssl-Client-S-Dn":       {"CN=web2"},
		"X-Forwarded-Client-Cert": {`Cert="` + url.QueryEscape(certificate) + `";Subject="CN=web2"`},
		"Client-Cert":             {":" + base64.StdEncoding.EncodeToString([]byte(certificate)) + ":"},
	})
	for name, test := range map[string]struct {
		options []nats.Option
		reason  string // empty: admitted as web1
	}{
		"token":                 {s.withToken(good), ""},
		"token and certificate": {append(good.options(), s.certificate("web2")), ""},
		"certificate":           {list(s.certificate("web1")), "no-credentials"},
		"administrator":         {list(s.certificate("root.example.net")), "no-credentials"},
		"nothing":               {list(s.anonymous()), "no-credentials"},
		"headers":               {list(s.anonymous(), forged), "no-credentials"},
		"token and headers":     {append(s.withToken(good), forged), ""},
		"nonce not signed":      {list(s.anonymous(), nats.Token(good.token)), "wrong-signature"},
		"system user":           {system, "no-tls"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, url := range []string{proxy, s.websocketURL()} {
				dial := func(s *site, options ...nats.Option) (*dialed, error) { return dialNATS(s, url, options) }
				options := test.options
				if url != proxy { // without TLS
					options = append([]nats.Option{}, append(options, func(o *nats.Options) error {
						o.Secure, o.TLSConfig = false, nil
						return nil
					})...)
				}
				if test.reason != "" {
					s.mustRefuseOver(t, dial, test.reason, options...)
					continue
				}
				if have := mustDial(t, s, dial, options...).user(t); have != "web1" {
					t.Errorf("%s admits %q", url, have)
				}
			}
		})
	}
}

// TestWebSocket_BehindAProxyAcceptsOnlyTokensOfLeafnodes does the same as a leaf node.
func TestWebSocket_BehindAProxyAcceptsOnlyTokensOfLeafnodes(t *testing.T) {
	s, proxy := openBehindProxy(t, nil)
	good := s.node("web1")
	for _, url := range []string{proxy, s.websocketURL()} {
		dial := func(s *site, options ...nats.Option) (*dialed, error) { return dialLeafAt(s, url, options) }
		for _, certificate := range []nats.Option{s.certificate(leafName), s.certificate("root.example.net")} {
			s.mustRefuseOver(t, dial, "no-credentials", certificate)
		}
		s.mustRefuseOver(t, dial, "wrong-signature", s.anonymous(), nats.Token(good.token))
		options := append(good.options(), s.certificate(leafName))
		if have := mustDial(t, s, dial, options...).user(t); have != "web1" {
			t.Errorf("%s admits %q", url, have)
		}
	}
}

// TestWebSocket_BehindAProxyEndsRevokedTokens revokes the token of an open connection, and lets that of another expire.
func TestWebSocket_BehindAProxyEndsRevokedTokens(t *testing.T) {
	r := openRevokingWith(t, func(c *Config) { c.WebSocket.BehindProxy = true })
	url := r.site.proxy(t)
	dial := func(s *site, options ...nats.Option) (*dialed, error) { return dialNATS(s, url, options) }
	token := r.withToken(r.node("web1"))
	web1, web2 := mustDial(t, r.site, dial, token...), mustDial(t, r.site, dial, r.withToken(r.node("web2"))...)
	r.reload(t, r.tokens, "identity web1\n")
	mustEnd(t, r.site, "revoked", web1)
	r.site.mustRefuseOver(t, dial, "revoked", token...)
	if web2.ended() {
		t.Error("a connection was ended whose token is valid")
	}
	r.ahead.Store(int64(2 * time.Hour)) // it is valid for one
	r.broker.Reload(r.broker.cfg.Roles)
	mustEnd(t, r.site, "expired", web2)
}

// TestWebSocket_HeadersChooseNoAddress gives other addresses in headers than that of the socket.
func TestWebSocket_HeadersChooseNoAddress(t *testing.T) {
	s := openListeners(t, func(c *Config) { c.ClientHosts = prefixes("192.0.2.0/24") })
	forged := nats.WebSocketConnectionHeaders(http.Header{"X-Forwarded-For": {"192.0.2.7"}})
	s.mustRefuseOver(t, dialers["websocket"], "wrong-host", s.certificate("rip.mcollective"), forged)
	mustDial(t, s, dialers["websocket"], s.certificate("web1"), forged)
	connections, err := s.broker.ListConnections()
	if err != nil || len(connections) == 0 {
		t.Fatal(connections, err)
	}
	for _, c := range connections {
		if c.Address != "127.0.0.1" {
			t.Errorf("a connection comes from %s", c.Address)
		}
	}
}

// TestWebSocket_RefusesWebPages has browsers connect, from which only pages of listed origins may.
func TestWebSocket_RefusesWebPages(t *testing.T) {
	const allowed = "https://fleet.example.net"
	for name, test := range map[string]struct {
		origins []string
		origin  string // empty: that of the port itself
		reason  string
	}{
		"none is listed":       {nil, "https://evil.example.net", "handshake"},
		"of the same name":     {nil, "", "handshake"},
		"no origin of a page":  {nil, "null", "handshake"},
		"listed":               {[]string{allowed}, allowed, ""},
		"not listed":           {[]string{allowed}, "https://evil.example.net", "handshake"},
		"same name not listed": {[]string{allowed}, "", "handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openListeners(t, func(c *Config) { c.WebSocket.Origins = test.origins })
			origin := test.origin
			if origin == "" {
				origin = strings.Replace(s.websocketURL(), "wss://", "https://", 1)
			}
			header := nats.WebSocketConnectionHeaders(http.Header{"Origin": {origin}})
			if test.reason != "" {
				s.mustRefuseOver(t, dialers["websocket"], test.reason, s.certificate("web1"), header)
				return
			}
			mustDial(t, s, dialers["websocket"], s.certificate("web1"), header)
		})
	}
}
