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

// connectionAttempt is a connection that is not admitted yet: its credentials and its address.
type connectionAttempt struct {
	name      string // that the connection gave itself; not proven
	client    string // library and version, as the connection gives them
	token     string
	user      string
	password  string
	signature string // of the nonce, base64
	nonce     []byte
	encrypted bool
	cert      *x509.Certificate // signed by the CA, its key proven in the handshake; nil: none
	address   netip.Addr        // not valid for a connection from this process
	listener  listener          // over which it came
	nkey      bool              // it presents an nkey

	presented   []*x509.Certificate // in the handshake; the first is cert
	certificate *choria.Certificate // what cert proves; nil until decide has verified it
	claims      *choria.Claims      // of the token; nil until it is verified
}

func newConnectionAttempt(connection server.ClientAuthentication) *connectionAttempt {
	o, state := connection.GetOpts(), connection.GetTLSConnectionState()
	c := &connectionAttempt{
		name: o.Name, token: o.Token, user: o.Username, password: o.Password, signature: o.Sig,
		nonce: connection.GetNonce(), encrypted: state != nil, listener: listenerOf(connection),
		client: o.Lang + o.Version, nkey: o.Nkey != "",
	}
	if state != nil && len(state.PeerCertificates) > 0 { // verified in the handshake, see certificates.verify
		c.cert, c.presented = state.PeerCertificates[0], state.PeerCertificates
	}
	if tcp, ok := connection.RemoteAddress().(*net.TCPAddr); ok {
		c.address = tcp.AddrPort().Addr().Unmap()
	}
	return c
}

// remote returns the host that the connection comes from.
func (c *connectionAttempt) remote() string {
	if !c.address.IsValid() {
		return "this process"
	}
	return c.address.String()
}

// checkKey returns an error unless the connection has the key of its token: the connection must
// have signed the nonce that the server made for it alone.
func (c *connectionAttempt) checkKey(claims *choria.Claims) error {
	signature, err := base64.RawURLEncoding.Strict().DecodeString(c.signature)
	if err != nil || len(c.nonce) == 0 || strings.ContainsAny(c.signature, "\r\n") { // the decoder ignores those
		return fmt.Errorf("%w: the nonce is not signed", choria.ErrWrongSignature)
	}
	return claims.CheckSignature(c.nonce, signature)
}

// certName returns the name in the connection's certificate: the common name, or if there is
// none the first DNS name.
func (c *connectionAttempt) certName() string {
	name := c.cert.Subject.CommonName
	if name == "" && len(c.cert.DNSNames) > 0 {
		name = c.cert.DNSNames[0]
	}
	return name
}
