package broker

import (
	"errors"
	"fmt"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
)

// How the server reports that a connection over WebSocket failed before it was one: lines of its HTTP server, which
// come as text; and those of its own, which begin with the address.
const (
	websocketPrefix    = "websocket: "
	websocketTLS       = websocketPrefix + "TLS handshake error from "
	websocketHandshake = " - websocket handshake error: "
	websocketPlain     = "Websocket not configured with TLS. DO NOT USE IN PRODUCTION!"
	noLeafnodes        = "Not configured to accept leaf node connections"
)

// certificateReasons are the reasons for which certificates.verify ends a handshake.
var certificateReasons = []error{choria.ErrExpired, choria.ErrRevoked, choria.ErrUntrusted, choria.ErrLimit}

// websocketError reads a line of the server, and returns the address of a connection over WebSocket and why its
// handshake failed; nil: the line reports no such failure. The texts are those of crypto/tls and of
// certificates.verify, which begin with their reasons; what a client chose is only later in them.
func websocketError(line string) (address string, err error) {
	if rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), websocketTLS); ok {
		address, text, _ := strings.Cut(rest, ": ")
		for _, reason := range certificateReasons {
			if detail, ok := strings.CutPrefix(text, reason.Error()); ok {
				return address, fmt.Errorf("%w%s", reason, detail)
			}
		}
		return address, fmt.Errorf("%w: %s", errHandshake, text)
	}
	if address, text, ok := strings.Cut(line, websocketHandshake); ok {
		return address, fmt.Errorf("%w: WebSocket: %s", errHandshake, text)
	}
	return "", nil
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
