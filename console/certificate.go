package console

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// certificate is the console's certificate. Each handshake checks whether its files have
// changed, so that the next connection uses new ones; a console has few connections.
type certificate struct {
	files *tlsfile.Reloader
	now   func() time.Time
}

// openCertificate loads the files. Unlike the broker, the console accepts a certificate that
// has expired: monitoring must not keep an appliance from starting.
func openCertificate(pair tlsfile.Pair, now func() time.Time, log hclog.Logger) (*certificate, error) {
	files := pair.Files()
	load := func(time.Time) (*tlsfile.State, error) { return files.Load() }
	reloader, err := tlsfile.NewReloader(files, load, now(), log)
	if err != nil {
		return nil, err
	}
	return &certificate{reloader, now}, nil
}

// getCertificate implements tls.Config.GetCertificate.
func (c *certificate) getCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.files.Refresh(c.now())
	return &c.files.Current().Certificates[0], nil
}

func (c *certificate) listener(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{GetCertificate: c.getCertificate, MinVersion: tls.VersionTLS12})
}
