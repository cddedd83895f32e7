// Package enroll makes what a broker and its nodes need to prove to each other who they
// are: an authority with certificates, or an organization issuer with tokens, and the
// configuration files that use them. It connects to nobody.
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

	"github.com/muster-appliance/muster/internal/pki"
)

// How long what is made is good. A node whose certificate or token ends is enrolled again.
const (
	authorityYears = 20
	yearsOfOthers  = 5
)

// Files of a site's directory; those of each node are under nodes/.
const (
	fileCA           = "ca.pem"
	fileCAKey        = "ca.key"
	fileCert         = "cert.pem"
	fileKey          = "key.pem"
	fileIssuerSeed   = "issuer.seed"
	fileIssuerPublic = "issuer.public"
	fileConfig       = "appliance.toml"
	nodesDir         = "nodes"
)

// validHost is the name of a host.
var validHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// Site is who may issue certificates and tokens at a place.
type Site struct {
	Dir       string
	authority *pki.Authority
	issuer    ed25519.PrivateKey // nil: nodes have certificates
}

// Options are what a new site is made of.
type Options struct {
	Dir    string
	Name   string // of the broker: what nodes call it, a host name or an address
	Listen string // where it listens, address and port
	Issuer bool   // nodes have tokens, not certificates
	Data   string // where the appliance stores; empty: in the same directory
	Force  bool   // overwrite what is there

	ReplaceConfig bool // overwrite an appliance.toml, which says nothing
}

// Init makes a site, with a configuration for its appliance, and writes it.
func Init(o Options, now time.Time) (*Site, error) {
	if !validHost.MatchString(o.Name) && net.ParseIP(o.Name) == nil {
		return nil, fmt.Errorf("the name %q cannot be that of a host; the port is given with --listen", o.Name)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Site{Dir: dir}
	if s.authority, err = pki.NewAuthority("Muster CA of "+o.Name, now.Add(-time.Hour), now.AddDate(authorityYears, 0, 0)); err != nil {
		return nil, err
	}
	files, err := s.brokerFiles(o, now)
	if err != nil {
		return nil, err
	}
	may := func(name string) bool { return o.Force || o.ReplaceConfig && name == fileConfig }
	if err := files.write(s.Dir, may); err != nil || o.Issuer {
		return s, err
	}
	// An issuer that was there before would go on issuing tokens.
	for _, name := range []string{fileIssuerSeed, fileIssuerPublic} {
		if err := os.Remove(filepath.Join(s.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return s, nil
}

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
		{name: fileCA, text: s.authority.PEM(), mode: public}, {name: fileCAKey, text: caKey, mode: secret},
		{name: fileCert, text: cert, mode: public}, {name: fileKey, text: key, mode: secret, brokers: true},
	}
	if o.Issuer {
		if _, s.issuer, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
		made = append(made, file{name: fileIssuerSeed, text: hex.EncodeToString(s.issuer.Seed()), mode: secret},
			file{name: fileIssuerPublic, text: s.IssuerKey(), mode: public})
	}
	return append(made, file{name: fileConfig, text: s.config(o), mode: public, brokers: true}), nil
}

// config is the appliance's configuration.
func (s *Site) config(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# A Muster appliance, written by "muster init". What is not here has its default;
# the appliance.toml that comes with Muster shows every key.
identity = %q
data_dir = %q

[broker]
listen = %q
`, o.Name, cmp.Or(o.Data, filepath.Join(s.Dir, "data")), o.Listen)
	if s.issuer != nil {
		// The CA is the broker's alone: nodes prove who they are with tokens.
		fmt.Fprintf(&b, "\n[broker.tls]\ncert = %q\nkey = %q\n\n[broker.issuers]\nchoria = %q\n",
			filepath.Join(s.Dir, fileCert), filepath.Join(s.Dir, fileKey), s.IssuerKey())
		return b.String()
	}
	fmt.Fprintf(&b, "\n[broker.tls]\ncert = %q\nkey = %q\nca = %q\n",
		filepath.Join(s.Dir, fileCert), filepath.Join(s.Dir, fileKey), filepath.Join(s.Dir, fileCA))
	return b.String()
}

// Open reads a site that Init has written.
func Open(dir string) (*Site, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Site{Dir: abs}
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
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if s.issuer, err = readSeed(string(seed)); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, fileIssuerSeed), err)
	}
	return s, nil
}

// readSeed reads an ed25519 seed as Choria writes it: 64 hex characters.
func readSeed(text string) (ed25519.PrivateKey, error) {
	seed, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("no ed25519 seed: want 64 hex characters")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Config is the path of the appliance's configuration.
func (s *Site) Config() string { return filepath.Join(s.Dir, fileConfig) }

// Files are the paths of the broker's certificate, its key and the CA.
func (s *Site) Files() (f struct{ Cert, Key, CA string }) {
	f.Cert, f.Key, f.CA = filepath.Join(s.Dir, fileCert), filepath.Join(s.Dir, fileKey), filepath.Join(s.Dir, fileCA)
	return f
}

// IssuesTokens tells whether nodes have tokens here, and not certificates.
func (s *Site) IssuesTokens() bool { return s.issuer != nil }

// IssuerKey is the public key of the organization issuer, in hex.
func (s *Site) IssuerKey() string {
	return hex.EncodeToString(s.issuer.Public().(ed25519.PublicKey))
}
