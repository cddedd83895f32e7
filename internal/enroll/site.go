// Package enroll makes the files with which a broker and its nodes authenticate each other: a
// certificate authority with certificates, or an organization issuer with tokens, and the
// configurations that use them. It opens no connection.
package enroll

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/pki"
)

// Validity in years. A node whose certificate or token has expired must be enrolled again.
const (
	authorityYears = 20
	leafYears      = 5 // certificates and tokens
)

// Files in a site's directory. The files of each node are in nodes/NODE/, those of a client in
// clients/CLIENT/, those of an edge in edges/EDGE/.
const (
	fileCA           = "ca.pem"
	fileCAKey        = "ca.key"
	fileCert         = "cert.pem"
	fileKey          = "key.pem"
	fileIssuerSeed   = "issuer.seed"
	fileIssuerPublic = "issuer.public"
	fileConfig       = "appliance.toml"
	fileCRL          = "crl.pem"
	fileRevoked      = "revoked.txt" // revoked tokens
	fileIssued       = "issued.txt"  // certificates of nodes
	nodesDir         = "nodes"
	clientsDir       = "clients"
)

// hostLabel matches one label of a host name, validHost a whole one.
const hostLabel = `[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?`

var validHost = regexp.MustCompile(`^` + hostLabel + `(\.` + hostLabel + `)*$`)

// Site issues and revokes the certificates and tokens of a site.
type Site struct {
	Dir        string
	authority  *pki.Authority     // issues certificates
	issuer     ed25519.PrivateKey // issues tokens; nil: nodes get certificates
	issuerName string
	rotation   rotation
}

// Options describe a new site.
type Options struct {
	Dir    string
	Name   string // host name or IP address under which nodes reach the broker
	Listen string // address and port of the broker's listener
	Issuer bool   // nodes get tokens instead of certificates
	Data   string // data directory of the appliance; empty: data in Dir
	Force  bool   // overwrite existing files

	ReplaceConfig bool // overwrite an existing appliance.toml, which sets nothing
}

// Init makes a new site and writes its files, with a configuration for the appliance.
func Init(o Options, now time.Time) (*Site, error) {
	if !validHost.MatchString(o.Name) && net.ParseIP(o.Name) == nil {
		return nil, fmt.Errorf("the name %q is not a valid host name or IP address; set the port with --listen", o.Name)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Site{Dir: dir, issuerName: firstIssuer}
	from, till := now.Add(-time.Hour), now.AddDate(authorityYears, 0, 0)
	if s.authority, err = pki.NewAuthority("Muster CA of "+o.Name, from, till); err != nil {
		return nil, err
	}
	files, err := s.brokerFiles(o, now)
	if err != nil {
		return nil, err
	}
	mayOverwrite := func(name string) bool { return o.Force || o.ReplaceConfig && name == fileConfig }
	if err := files.write(s.Dir, mayOverwrite); err != nil {
		return s, err
	}
	if err := s.remove(rotationFiles...); err != nil || o.Issuer { // of an earlier site
		return s, err
	}
	// The site would go on issuing tokens with an issuer left by an earlier Init.
	return s, s.remove(fileIssuerSeed, fileIssuerPublic)
}

// remove removes those of the files that exist.
func (s *Site) remove(names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(s.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// brokerFiles makes the files of the broker and, if o asks for one, the issuer.
func (s *Site) brokerFiles(o Options, now time.Time) (files, error) {
	cert, key, err := s.brokerPair(o.Name, now)
	if err != nil {
		return nil, err
	}
	caKey, err := s.authority.KeyPEM()
	if err != nil {
		return nil, err
	}
	made := files{
		{name: fileCA, text: s.authority.PEM(), mode: public},
		{name: fileCAKey, text: caKey, mode: secret},
		{name: fileCert, text: cert, mode: public},
		{name: fileKey, text: key, mode: secret, forBroker: true},
	}
	if o.Issuer {
		if _, s.issuer, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
		made = append(made,
			file{name: fileIssuerSeed, text: hex.EncodeToString(s.issuer.Seed()), mode: secret},
			file{name: fileIssuerPublic, text: s.IssuerKey(), mode: public},
			file{name: fileRevoked, text: revokedHeader, mode: public})
	} else {
		crl, err := crlFile(nil, nil, now, s.authority)
		if err != nil {
			return nil, err
		}
		made = append(made, crl)
	}
	return append(made, file{name: fileConfig, text: s.config(o), mode: public, forBroker: true}), nil
}

// config returns the text of the appliance's configuration.
func (s *Site) config(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Configuration of a Muster appliance, written by "muster init". Keys that are not set
# have their defaults; the appliance.toml that Muster ships lists every key.
identity = %q
data_dir = %q

[broker]
listen = %q
`, o.Name, cmp.Or(o.Data, filepath.Join(s.Dir, "data")), o.Listen)
	if s.issuer != nil {
		// Without a CA here the broker accepts no client certificates: nodes have tokens.
		fmt.Fprintf(&b, "revoked_tokens = %q\n\n[broker.tls]\ncert = %q\nkey = %q\n\n[broker.issuers]\n%s = %q\n",
			s.RevokedTokens(), filepath.Join(s.Dir, fileCert), filepath.Join(s.Dir, fileKey), s.issuerName, s.IssuerKey())
	} else {
		fmt.Fprintf(&b, "\n[broker.tls]\ncert = %q\nkey = %q\nca = %q\ncrl = %q\n",
			filepath.Join(s.Dir, fileCert), filepath.Join(s.Dir, fileKey), filepath.Join(s.Dir, fileCA), s.CRL())
	}
	b.WriteString(`
# Appliances that forward to this one: the name of the edge of each site. "muster enroll --site" adds them.
[broker.sites]
`)
	return b.String()
}

// Open reads a site that Init wrote.
func Open(dir string) (*Site, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Site{Dir: abs, issuerName: firstIssuer}
	certificate, err := os.ReadFile(filepath.Join(abs, fileCA))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no %s; make it with \"muster init --dir %s --name HOST\"", dir, fileCA, dir)
	}
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(abs, fileCAKey))
	if err != nil {
		return nil, err
	}
	if s.authority, err = pki.ReadAuthority(certificate, key); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	seed, err := os.ReadFile(filepath.Join(abs, fileIssuerSeed))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if s.issuer, err = choria.Seed(string(seed)); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, fileIssuerSeed), err)
		}
	}
	return s, s.readRotation()
}

// Config returns the path of the appliance's configuration.
func (s *Site) Config() string { return filepath.Join(s.Dir, fileConfig) }

// CRL returns the path of the certificate revocation lists.
func (s *Site) CRL() string { return filepath.Join(s.Dir, fileCRL) }

// RevokedTokens returns the path of the list of revoked tokens.
func (s *Site) RevokedTokens() string { return filepath.Join(s.Dir, fileRevoked) }

// Files returns the paths of the broker's certificate, its key and the CA's certificate.
func (s *Site) Files() (f struct{ Cert, Key, CA string }) {
	f.Cert, f.Key, f.CA = filepath.Join(s.Dir, fileCert), filepath.Join(s.Dir, fileKey), filepath.Join(s.Dir, fileCA)
	return f
}

// dirOf returns the directory with the files of a node, client or edge. It may not exist.
func (s *Site) dirOf(name string) string {
	name = filepath.Base(name)
	for _, parent := range []string{clientsDir, edgesDir} {
		if dir := filepath.Join(s.Dir, parent, name); isDir(dir) {
			return dir
		}
	}
	return filepath.Join(s.Dir, nodesDir, name)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// IssuesTokens reports whether nodes get tokens instead of certificates.
func (s *Site) IssuesTokens() bool { return s.issuer != nil }

// IssuerName returns the name of the organization issuer.
func (s *Site) IssuerName() string { return s.issuerName }

// IssuerKey returns the public key of the organization issuer in hex. There must be an issuer.
func (s *Site) IssuerKey() string {
	return hex.EncodeToString(s.issuer.Public().(ed25519.PublicKey))
}
