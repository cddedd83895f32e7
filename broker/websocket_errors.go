package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
)

// How the server reports that a connection over WebSocket failed before it was one: lines of its HTTP server, which
// come as text; and those of its own, which begin with the address.
const (
	websocketPrefix    = "websocket: "
	websocketTLS       = websocketPrefix + "TLS handshake error from "
	websocketHandshake = "websocket handshake error: "
	websocketPlain     = "Websocket not configured with TLS. DO NOT USE IN PRODUCTION!"
	noLeafnodes        = "Not configured to accept leaf node connections"
)

// certificateReasons are the reasons for which certificates.verify ends a handshake.
var certificateReasons = []error{choria.ErrExpired, choria.ErrRevoked, choria.ErrUntrusted, choria.ErrLimit}

// websocketError reads a line of the server; ok reports whether it says that the handshake of a connection over
// WebSocket failed. If so it returns its address, and why; nil: the broker itself closed it, and has counted that. The
// texts are those of crypto/tls and of certificates.verify, which begin with their reasons; what a client chose is only
// later in them.
func websocketError(line string) (address string, ok bool, err error) {
	if rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), websocketTLS); ok {
		address, text, _ := strings.Cut(rest, ": ")
		if strings.HasSuffix(text, net.ErrClosed.Error()) {
			return address, true, nil
		}
		for _, reason := range certificateReasons {
			if detail, ok := strings.CutPrefix(text, reason.Error()); ok {
				return address, true, fmt.Errorf("%w%s", reason, detail)
			}
		}
		return address, true, fmt.Errorf("%w: %s", errHandshake, text)
	}
	address, rest, _ := strings.Cut(line, " - ") // later in a line a client may have chosen the text
	text, ok := strings.CutPrefix(rest, websocketHandshake)
	if _, err := netip.ParseAddrPort(address); !ok || err != nil {
		return "", false, nil
	}
	return address, true, fmt.Errorf("%w: WebSocket: %s", errHandshake, text)
}

// isCertificateReason reports whether certificates.verify ended a handshake with the error.
func isCertificateReason(err error) bool {
	for _, reason := range certificateReasons {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
