package broker

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats-server/v2/server"
)

// caller is somebody who connects: what it shows, and where it comes from.
type caller struct {
	name      string // as it calls itself
	token     string
	user      string
	password  string
	signature string // of the nonce, base64
	nonce     []byte
	encrypted bool
	cert      *x509.Certificate // that it holds and that is under the CA; nil: none
	address   netip.Addr        // not valid: in this process
	client    bool              // and not a leaf node
}

func newCaller(c server.ClientAuthentication) *caller {
	o, state := c.GetOpts(), c.GetTLSConnectionState()
	who := &caller{
		name: o.Name, token: o.Token, user: o.Username, password: o.Password, signature: o.Sig,
		nonce: c.GetNonce(), encrypted: state != nil, client: c.Kind() == server.CLIENT,
	}
	if state != nil && len(state.VerifiedChains) > 0 {
		who.cert = state.VerifiedChains[0][0]
	}
	if tcp, ok := c.RemoteAddress().(*net.TCPAddr); ok {
		who.address = tcp.AddrPort().Addr().Unmap()
	}
	return who
}

func (c *caller) remote() string {
	if !c.address.IsValid() {
		return "this process"
	}
	return c.address.String()
}

// holds checks that the caller has the key of the token that it shows: it has signed the
// nonce that the server made for this one connection.
func (c *caller) holds(claims *choria.Claims) error {
	signature, err := base64.RawURLEncoding.Strict().DecodeString(c.signature)
	if err != nil || len(c.nonce) == 0 || strings.ContainsAny(c.signature, "\r\n") { // which the decoder reads over
		return fmt.Errorf("%w: the nonce is not signed", choria.ErrWrongSignature)
	}
	return claims.CheckSignature(c.nonce, signature)
}

// certName is the name in the caller's certificate: its common name, or else its first
// DNS name.
func (c *caller) certName() string {
	name := c.cert.Subject.CommonName
	if name == "" && len(c.cert.DNSNames) > 0 {
		name = c.cert.DNSNames[0]
	}
	return name
}
