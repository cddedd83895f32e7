package enroll

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/pki"
)

// Files in a node's directory, beside ca.pem, cert.pem and key.pem.
const (
	fileServerConf = "server.conf"
	fileFacts      = "facts.json"
	fileToken      = "server.jwt"
	fileSeed       = "server.seed"
)

// rsaBits is the size of the keys that Choria's own tools make.
const rsaBits = 2048

// Node describes the node to be enrolled.
type Node struct {
	Identity   string
	Broker     string // host and port
	Collective string // empty: "mcollective" with certificates, "choria" with tokens
	InstallDir string // absolute path of the directory of the files on the node
	Force      bool   // overwrite existing files
}

// check returns an error if the node cannot be enrolled under that name or with these settings.
func (n Node) check() error {
	if choria.CheckNode(n.Identity) != nil { // the broker would refuse the node
		return fmt.Errorf("the node name %q is not valid; use 1 to 255 of A-Z, a-z, 0-9 and ._:@+-, "+
			"and single dots inside the name only", n.Identity)
	}
	if n.Collective != "" && !contract.ValidName(n.Collective) {
		return fmt.Errorf("the collective %q is not valid; use A-Z, a-z, 0-9, _ and -", n.Collective)
	}
	if strings.ContainsAny(n.InstallDir, "\r\n") || !path.IsAbs(n.InstallDir) {
		return fmt.Errorf("the directory %q on the node is not an absolute path", n.InstallDir)
	}
	return nil
}

// Enroll issues a node's certificate or token, writes it with a server.conf for the node's Choria
// server to a directory under nodes/ in the site's directory, and returns that directory.
func (s *Site) Enroll(n Node, now time.Time) (dir string, err error) {
	if err := n.check(); err != nil {
		return "", err
	}
	if err := s.checkInterrupted(); err != nil {
		return "", err
	}
	facts, err := json.MarshalIndent(map[string]any{"networking": map[string]string{"fqdn": n.Identity}}, "", "  ")
	if err != nil {
		return "", err
	}
	conf := serverConf{
		Identity: n.Identity, Broker: n.Broker, Collective: n.Collective,
		Dir: n.InstallDir, Facts: fileFacts, CA: fileCA,
	}
	credentials := s.certificateFiles
	if s.IssuesTokens() {
		credentials = s.tokenFiles
	}
	made, err := credentials(&conf, now)
	if err != nil {
		return "", err
	}
	made = append(made,
		file{name: fileCA, text: s.bundle(), mode: public},
		file{name: fileFacts, text: string(facts) + "\n", mode: public},
		file{name: fileServerConf, text: conf.text(), mode: public})
	dir = filepath.Join(s.Dir, nodesDir, n.Identity)
	mayOverwrite := func(string) bool { return n.Force }
	if err := made.check(dir, mayOverwrite); err != nil {
		return dir, err
	}
	if err := s.recordIssued(made); err != nil {
		return dir, err
	}
	return dir, made.write(dir, mayOverwrite)
}

// certificateFiles issues a certificate and completes the configuration.
func (s *Site) certificateFiles(conf *serverConf, now time.Time) (files, error) {
	if conf.Collective == "" {
		conf.Collective = "mcollective"
	}
	conf.Certificate, conf.Key = fileCert, fileKey
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, err
	}
	certificate, err := s.Certificate(conf.Identity, private.Public(), now)
	if err != nil {
		return nil, err
	}
	key, err := pki.KeyPEM(private)
	return files{
		{name: fileCert, text: certificate, mode: public},
		{name: fileKey, text: key, mode: secret},
	}, err
}

// tokenFiles issues a token and completes the configuration.
func (s *Site) tokenFiles(conf *serverConf, now time.Time) (files, error) {
	if conf.Collective == "" {
		conf.Collective = "choria"
	}
	conf.Token, conf.Seed, conf.Issuers = fileToken, fileSeed, s.issuers()
	publicKey, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	token, err := s.Token(conf.Identity, conf.Collective, publicKey, now)
	return files{
		{name: fileToken, text: token, mode: secret},
		{name: fileSeed, text: hex.EncodeToString(private.Seed()), mode: secret},
	}, err
}
