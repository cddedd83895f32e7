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
	Broker     string // host and port, or a URL such as wss://hub.example.net:443
	Collective string // empty: "mcollective" with certificates, "choria" with tokens
	InstallDir string // absolute path of the directory of the files on the node
	Force      bool   // overwrite existing files
}

// checkEnrollment returns an error if a node or client cannot be enrolled under that name or with these settings.
func checkEnrollment(kind, name, collective, installDir string) error {
	if choria.CheckNode(name) != nil { // the broker would refuse it
		return fmt.Errorf("the %s name %q is not valid; use 1 to 255 of A-Z, a-z, 0-9 and ._:@+-, "+
			"and single dots inside the name only", kind, name)
	}
	if collective != "" && !contract.ValidName(collective) {
		return fmt.Errorf("the collective %q is not valid; use A-Z, a-z, 0-9, _ and -", collective)
	}
	if strings.ContainsAny(installDir, "\r\n") || !path.IsAbs(installDir) {
		return fmt.Errorf("the directory %q on the %s is not an absolute path", installDir, kind)
	}
	return nil
}

// Enroll issues a node's certificate or token, writes it with a server.conf for the node's Choria
// server to a directory under nodes/ in the site's directory, and returns that directory.
func (s *Site) Enroll(n Node, now time.Time) (dir string, err error) {
	if err := checkEnrollment("node", n.Identity, n.Collective, n.InstallDir); err != nil {
		return "", err
	}
	if err := s.checkInterrupted(); err != nil {
		return "", err
	}
	facts, err := json.MarshalIndent(map[string]any{"networking": map[string]string{"fqdn": n.Identity}}, "", "  ")
	if err != nil {
		return "", err
	}
	conf := serverConf{Identity: n.Identity, Facts: fileFacts,
		choriaConf: choriaConf{Broker: n.Broker, Collective: n.Collective, Dir: n.InstallDir, CA: fileCA}}
	var made files
	if s.IssuesTokens() {
		conf.Token, conf.Seed = fileToken, fileSeed
		made, err = s.tokenFiles(&conf.choriaConf, func(key ed25519.PublicKey) (string, error) {
			return s.Token(n.Identity, conf.Collective, key, now)
		})
	} else {
		made, err = s.certificateFiles(&conf.choriaConf, n.Identity, now)
	}
	if err != nil {
		return "", err
	}
	made = append(made,
		file{name: fileFacts, text: string(facts) + "\n", mode: public},
		file{name: fileServerConf, text: conf.text(), mode: public})
	return s.writeEnrolled(nodesDir, n.Identity, made, n.Force)
}

// writeEnrolled writes the files of a node or client, with the CA's certificate, to its directory under
// parent, and returns that directory.
func (s *Site) writeEnrolled(parent, name string, made files, force bool) (dir string, err error) {
	made = append(made, file{name: fileCA, text: s.bundle(), mode: public})
	dir = filepath.Join(s.Dir, parent, name)
	mayOverwrite := func(string) bool { return force }
	if err := made.check(dir, mayOverwrite); err != nil {
		return dir, err
	}
	if err := s.recordIssued(made); err != nil {
		return dir, err
	}
	return dir, made.write(dir, mayOverwrite)
}

// certificateFiles issues a certificate and completes the configuration.
func (s *Site) certificateFiles(conf *choriaConf, name string, now time.Time) (files, error) {
	if conf.Collective == "" {
		conf.Collective = "mcollective"
	}
	conf.Certificate, conf.Key = fileCert, fileKey
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, err
	}
	certificate, err := s.Certificate(name, private.Public(), now)
	if err != nil {
		return nil, err
	}
	key, err := pki.KeyPEM(private)
	return files{
		{name: fileCert, text: certificate, mode: public},
		{name: fileKey, text: key, mode: secret},
	}, err
}

// tokenFiles makes a key, lets issue make a token for it, and completes the configuration, which names the
// files.
func (s *Site) tokenFiles(conf *choriaConf, issue func(ed25519.PublicKey) (string, error)) (files, error) {
	if conf.Collective == "" {
		conf.Collective = "choria"
	}
	conf.Issuers = s.issuers()
	publicKey, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	token, err := issue(publicKey)
	return files{
		{name: conf.Token, text: token, mode: secret},
		{name: conf.Seed, text: hex.EncodeToString(private.Seed()), mode: secret},
	}, err
}
