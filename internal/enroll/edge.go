package enroll

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/pki"
)

// edgesDir holds the files of each edge, in edges/EDGE/.
const edgesDir = "edges"

// Edge describes the edge to be enrolled: the appliance of another site, which forwards to a hub.
type Edge struct {
	Identity   string // host name or IP address under which nodes of the site reach the edge
	Site       string
	Hub        string // host and port, or a URL such as wss://hub.example.net:443
	Listen     string // address and port of the edge's broker
	Broker     string // lines of [broker] that decide which nodes and clients the edge admits
	Roles      string // the table [broker.roles] for the edge; empty: the defaults
	InstallDir string // absolute path of the directory of the files on the edge
	Data       string // data directory of the edge; empty: data in InstallDir
	Force      bool   // overwrite existing files
}

// check returns an error if the edge cannot be enrolled under its name.
func (e Edge) check() error {
	if err := checkEnrollment("edge", e.Identity, "", e.InstallDir); err != nil {
		return err
	}
	if !validHost.MatchString(e.Identity) && net.ParseIP(e.Identity) == nil {
		return fmt.Errorf("the name %q is not a valid host name or IP address: nodes of the site connect to it", e.Identity)
	}
	if !contract.ValidName(e.Site) {
		return fmt.Errorf("the site %q is not a valid name; use 1 to 64 of A-Z, a-z, 0-9, _ and -", e.Site)
	}
	return nil
}

// EnrollEdge issues the certificate with which an edge serves its nodes and connects to its hub. If the site issues
// tokens, it issues one for that connection. It writes them with an appliance.toml for the edge to
// a directory under edges/ in the site's directory, and returns that directory. The edge admits the nodes and clients
// that are enrolled in the same directory.
func (s *Site) EnrollEdge(e Edge, now time.Time) (dir string, err error) {
	if err := e.check(); err != nil {
		return "", err
	}
	if err := s.checkInterrupted(); err != nil {
		return "", err
	}
	made, err := s.edgePair(e.Identity, now)
	if err != nil {
		return "", err
	}
	conf := edgeConf{Edge: e, revocations: fileCRL}
	if s.IssuesTokens() {
		conf.revocations = fileRevoked
		connection := choriaConf{Token: fileToken, Seed: fileSeed}
		tokens, err := s.tokenFiles(&connection, func(key ed25519.PublicKey) (string, error) {
			return s.Token(e.Identity, connection.Collective, key, now)
		})
		if err != nil {
			return "", err
		}
		conf.issuers = connection.Issuers
		made = append(made, tokens...)
	}
	switch text, err := os.ReadFile(filepath.Join(s.Dir, conf.revocations)); {
	case err == nil:
		made = append(made, file{name: conf.revocations, text: string(text), mode: public})
	case errors.Is(err, fs.ErrNotExist):
		conf.revocations = ""
	default:
		return "", err
	}
	made = append(made, file{name: fileConfig, text: conf.text(), mode: public})
	return s.writeEnrolled(edgesDir, e.Identity, made, e.Force)
}

// edgePair makes the certificate and the key of an edge. While the CA is being rotated, nodes that trust only the
// old one accept the certificate too.
func (s *Site) edgePair(name string, now time.Time) (files, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := brokerTemplate(name, now)
	template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	certificate, err := s.authority.Issue(template, private.Public())
	if err != nil {
		return nil, err
	}
	if s.rotation.oldCA != nil {
		cross, err := s.rotation.oldCA.CrossSign(s.authority)
		if err != nil {
			return nil, err
		}
		certificate += cross
	}
	key, err := pki.KeyPEM(private)
	return files{
		{name: fileCert, text: certificate, mode: public},
		{name: fileKey, text: key, mode: secret},
	}, err
}

// HasEdge reports whether the directory has files of an edge.
func (s *Site) HasEdge(name string) bool {
	return isDir(filepath.Join(s.Dir, edgesDir, filepath.Base(name)))
}

// Edges returns the names of the edges with files in the directory.
func (s *Site) Edges() (names []string) {
	entries, _ := os.ReadDir(filepath.Join(s.Dir, edgesDir)) // there may be none
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
