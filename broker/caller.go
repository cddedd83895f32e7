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

// caller is a connection that is not admitted yet: what it presents, and where it comes from.
type caller struct {
	name      string // as it calls itself; proves nothing
	token     string
	user      string
	password  string
	signature string // of the nonce, base64
	nonce     []byte
	encrypted bool
	cert      *x509.Certificate // whose key it holds, and which is under the CA; nil: none
	address   netip.Addr        // not valid if it is in this process
	client    bool              // false: a leaf node, route or gateway
}

func newCaller(connection server.ClientAuthentication) *caller {
	o, state := connection.GetOpts(), connection.GetTLSConnectionState()
	c := &caller{
		name: o.Name, token: o.Token, user: o.Username, password: o.Password, signature: o.Sig,
		nonce: connection.GetNonce(), encrypted: state != nil, client: connection.Kind() == server.CLIENT,
	}
	if state != nil && len(state.VerifiedChains) > 0 {
		c.cert = state.VerifiedChains[0][0]
	}
	if tcp, ok := connection.RemoteAddress().(*net.TCPAddr); ok {
		c.address = tcp.AddrPort().Addr().Unmap()
	}
	return c
}

// remote returns the host that the connection comes from.
func (c *caller) remote() string {
	if !c.address.IsValid() {
		return "this process"
	}
	return c.address.String()
}

// holds returns an error unless the caller has the key of its token: it must have signed the
// nonce that the server made for this connection alone.
func (c *caller) holds(claims *choria.Claims) error {
	signature, err := base64.RawURLEncoding.Strict().DecodeString(c.signature)
	if err != nil || len(c.nonce) == 0 || strings.ContainsAny(c.signature, "\r\n") { // the decoder ignores those
		return fmt.Errorf("%w: the nonce is not signed", choria.ErrWrongSignature)
	}
	return claims.CheckSignature(c.nonce, signature)
}

// certName returns the name in the caller's certificate: its common name, or if it has none
// its first DNS name.
func (c *caller) certName() string {
	name := c.cert.Subject.CommonName
	if name == "" && len(c.cert.DNSNames) > 0 {
		name = c.cert.DNSNames[0]
	}
	return name
}
