// Package bench measures an appliance: it starts one as another process, publishes a load from
// a third, and compares the stream with what was published, message by message. It also
// measures what idle nodes cost. It parses no command line and prints no result.
package bench

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strconv"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

// rsaBits is the size of the keys of Choria's own certificates.
const rsaBits = 2048

// Load describes what a generator publishes.
type Load struct {
	Server      string // NATS address
	Connections int
	Senders     int
	Messages    int
	Protocol    int    // Choria's network protocol: 1, 2, or 0 for both
	Site        string // directory written by "muster init": every message is signed; empty: none is
	TLS         bool   // connect over TLS, with a certificate in protocol 1 and a token in protocol 2
	Direct      bool   // publish into the stream, each message acknowledged, without an adapter
	Size        int64  // approximate bytes of a message; 0: realistic facts
	Rate        int    // messages a second, all connections together; 0: as fast as possible
}

// args returns the arguments with which this program publishes the load. internal/cli defines
// the command and its flags.
func (load Load) args() []string {
	args := []string{
		"bench", "generate", "--server", load.Server, "--direct=" + strconv.FormatBool(load.Direct),
		"--connections", strconv.Itoa(load.Connections), "--senders", strconv.Itoa(load.Senders),
		"--messages", strconv.Itoa(load.Messages), "--protocol", strconv.Itoa(load.Protocol),
		"--site", load.Site, "--tls=" + strconv.FormatBool(load.TLS), "--rate", strconv.Itoa(load.Rate),
	}
	if load.Size > 0 {
		args = append(args, "--size", config.FormatSize(load.Size))
	}
	return args
}

// nodeOptions returns how the senders register.
func (load Load) nodeOptions() (simnode.NodeOptions, error) {
	o := simnode.NodeOptions{Protocol: choria.Protocol(load.Protocol), Size: load.Size}
	if load.Site == "" {
		return o, nil
	}
	var err error
	if o.Site, err = enroll.Open(load.Site); err != nil {
		return o, err
	}
	o.RSA, err = rsa.GenerateKey(rand.Reader, rsaBits)
	return o, err
}

// websocketScheme returns the scheme of URLs for WebSocket, with its separator.
func (load Load) websocketScheme() string {
	if load.TLS {
		return "wss://"
	}
	return "ws://"
}

// bindSender returns the value of bind_sender with which an adapter accepts the load.
func (load Load) bindSender() string {
	if load.Senders > load.Connections {
		return "false"
	}
	return `"auto"`
}

// credentials returns the options with which a connection authenticates as the node n. It may
// then publish for all its senders. Without TLS only a token can authenticate it. Publishing into
// the stream needs a certificate with the role admin.
func (load Load) credentials(n *simnode.Node, o simnode.NodeOptions) ([]nats.Option, error) {
	protocol := n.Protocol
	var roots *x509.CertPool
	if load.TLS {
		roots = o.Site.Roots()
	} else {
		protocol = choria.V2
	}
	if load.Direct {
		protocol = choria.V1
	}
	credentials, err := o.NewCredentials(n.Identity, protocol)
	return credentials.Options(n.Identity, roots), err
}
