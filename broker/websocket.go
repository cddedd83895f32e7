package broker

import (
	"net/url"
	"strings"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/dial"
	"github.com/nats-io/nats-server/v2/server"
)

// labWebSocket is an example of an address for WebSocket.
const labWebSocket = "127.0.0.1:8443"

// noOrigin is an origin that no page can have, see RFC 6761. The server accepts every origin if it has no list, and
// a page that a browser loads under any name that leads to this address has the same origin as the port.
const noOrigin = "https://muster.invalid"

// WebSocket is the [broker.websocket] table: a port where nodes, clients and edges connect over WebSocket.
type WebSocket struct {
	Listen      string   // host:port; empty: WebSocket is off
	BehindProxy bool     // connections arrive without TLS, from a proxy that ends it
	Compression bool     // compress messages for clients that offer it
	Origins     []string // of web pages that may connect; empty: none
}

// Keys lists the keys of [broker.websocket].
func (w *WebSocket) Keys() []config.Key {
	return []config.Key{
		{Name: "listen", Value: config.String(&w.Listen), Help: "address and port where nodes, clients and edges " +
			"connect over WebSocket (wss://); empty: none"},
		{Name: "behind_proxy", Value: config.Bool(&w.BehindProxy), Help: "true: a proxy in front ends TLS, and this " +
			"port has none. Connections need tokens there, certificates cannot reach it"},
		{Name: "compression", Value: config.Bool(&w.Compression), Help: "true: compress messages for " +
			"connections that offer it (permessage-deflate); it takes processor time"},
		{Name: "origins", Value: config.Strings(&w.Origins), Help: "web pages that may connect, " +
			`such as "https://fleet.example.net"; empty: none. Programs send no origin`},
	}
}

// Validate checks the origins. Whether the port may be open to the network is checked with the whole [broker] table,
// see checkWebSocket.
func (w *WebSocket) Validate(check *config.Check) {
	for _, origin := range w.Origins {
		if !isOrigin(origin) {
			check.Problem("origins", `%q is not an origin; write scheme and host, such as "https://fleet.example.net"`,
				redactedURL(origin))
		}
	}
}

// isOrigin reports whether a text is an origin that a page can have. Patterns are not: the server compares the text.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && u.Hostname() != "" &&
		!strings.ContainsAny(u.Host, "*?") && dial.ValidPort(u) && u.Path+u.RawQuery+u.Fragment == ""
}

// redactedURL returns a text, without the password if it is a URL with one.
func redactedURL(text string) string {
	if u, err := url.Parse(text); err == nil && u.User != nil {
		return u.Redacted()
	}
	return text
}

// enabled reports whether there is a port for WebSocket.
func (w *WebSocket) enabled() bool { return w.Listen != "" }

// note returns in parentheses what is special about the port, to follow its URL; empty: nothing.
func (w *WebSocket) note() string {
	if w.BehindProxy {
		return " (behind a proxy that ends TLS: tokens only)"
	}
	return ""
}

// websocketTLS reports whether the port for WebSocket has TLS.
func (c *Config) websocketTLS() bool { return c.TLS.Enabled() && !c.WebSocket.BehindProxy }

// websocketURL returns the URL of the port for WebSocket on an address.
func (c *Config) websocketURL(address string) string {
	if c.websocketTLS() {
		return "wss://" + address
	}
	return "ws://" + address
}

// checkWebSocket reports a port for WebSocket that would be open without protection, or to which no connection could
// prove its identity.
func (c *Config) checkWebSocket(check *config.Check) {
	w := &c.WebSocket
	if !w.enabled() {
		if w.BehindProxy || w.Compression || len(w.Origins) > 0 {
			check.Problem("websocket.listen", "not given, so the other keys of [broker.websocket] have no effect; set it")
		}
		return
	}
	if w.BehindProxy && !c.acceptsTokens() {
		check.Problem("websocket.behind_proxy", "true, but no token is accepted, and no certificate can pass a proxy that "+
			"ends TLS, so no connection could prove its identity; set [broker.issuers] or [broker.signers], "+
			"or have the proxy pass TLS on and remove behind_proxy")
	}
	check.Listen("websocket.listen", w.Listen, config.ListenRule{
		Example:     labWebSocket,
		MayBePublic: c.TLS.Enabled() || c.Plaintext || w.BehindProxy,
		Hint: " and not encrypted; give certificates in [broker.tls], or listen on 127.0.0.1, " +
			"or set behind_proxy = true if a proxy in front ends TLS",
	})
}

// websocketOptions sets the server's options of the port for WebSocket, if there is one.
func (b *Broker) websocketOptions(options *server.Options) {
	w := &b.cfg.WebSocket
	if !w.enabled() {
		return
	}
	host, port := splitAddress(w.Listen)
	options.Websocket = server.WebsocketOpts{
		Host: host, Port: port, NoTLS: !b.cfg.websocketTLS(),
		Compression: w.Compression, AllowedOrigins: w.Origins,
		HandshakeTimeout: handshakeTimeout,
	}
	if len(w.Origins) == 0 {
		options.Websocket.AllowedOrigins = []string{noOrigin}
	}
	if b.cfg.websocketTLS() {
		options.Websocket.TLSConfig = b.certs.websocketConfig(b.auth.sockets.addWebSocket)
	}
}
