package console

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// hostCheck refuses requests for hosts that are not this console. A web page can make a browser
// connect here under the page's own name (DNS rebinding), and would read the answers, because they
// seem to come from the page's own server. The check holds with a token too: the token then is not
// all that protects the answers.
type hostCheck struct {
	names  map[string]bool          // names and addresses of this console, as hostOf returns them
	leaf   func() *x509.Certificate // the console's certificate, which vouches for its names; nil: none
	refuse func(reason string, r *http.Request)
}

func newHostCheck(cfg *Config, names []string) *hostCheck {
	h := &hostCheck{names: map[string]bool{}, leaf: func() *x509.Certificate { return nil }}
	for _, name := range append(append([]string{cfg.Listen}, names...), cfg.Hosts...) {
		h.names[hostOf(name)] = true
	}
	return h
}

// handler answers requests for other hosts with an error, and gives all others to next.
func (h *hostCheck) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOf(r.Host); !h.allows(host, r) {
			h.refuse(CodeUnknownHost, r)
			w.Header().Set("Connection", "close")
			writeError(w, CodeUnknownHost, fmt.Sprintf("the request is for the host %q, which is not a name of this "+
				"console; if it should be, add it to console.hosts in the configuration of the appliance", host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allows reports whether the host is this console. A request of HTTP/1.0 may name none; browsers
// always do.
func (h *hostCheck) allows(host string, r *http.Request) bool {
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || h.names[host] {
		return true
	}
	if address, err := netip.ParseAddr(host); err == nil {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		return address.IsLoopback() || address == addressOf(local)
	}
	leaf := h.leaf()
	return leaf != nil && leaf.VerifyHostname(host) == nil
}

// hostOf returns the host of an address, in lower case, without a port, brackets and a final dot,
// and an IP address in its usual form.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
