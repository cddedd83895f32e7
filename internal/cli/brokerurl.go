package cli

import (
	"cmp"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// webSocket begins the URL of a broker that is reached over WebSocket.
const webSocket = "wss://"

// isBroker reports whether a text is the host and port of a broker, or the URL of its WebSocket. Only the URL for an
// edge may have a path: Choria ignores it.
func isBroker(text string, forEdge bool) bool {
	host, port, err := net.SplitHostPort(brokerAddress(text))
	n, bad := strconv.Atoi(port)
	if err != nil || host == "" || bad != nil || n < 1 || n > 65535 {
		return false
	}
	if !strings.HasPrefix(text, webSocket) {
		return true
	}
	u, err := url.Parse(text)
	return err == nil && u.User == nil && u.RawQuery+u.Fragment == "" && (forEdge || strings.Trim(u.Path, "/") == "")
}

// brokerAddress returns the host and port of a broker, which is given as such or as the URL of its WebSocket.
func brokerAddress(text string) string {
	if !strings.HasPrefix(text, webSocket) {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
}

// withPort returns the host and port of a broker, or the URL of its WebSocket with the port, which Choria requires.
func withPort(text string) string {
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, webSocket) {
		return text
	}
	u.Host = brokerAddress(text)
	return u.String()
}
