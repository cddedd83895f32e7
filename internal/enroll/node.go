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

// Files of a node beside those of the same name in the site's directory.
const (
	fileServerConf = "server.conf"
	fileFacts      = "facts.json"
	fileToken      = "server.jwt"
	fileSeed       = "server.seed"
)

// rsaBits is what Choria's own certificates have.
const rsaBits = 2048

// Node is what a node is to be.
type Node struct {
	Identity   string
	Broker     string // host and port
	Collective string // empty: the usual one, "mcollective" with certificates and "choria" with tokens
	InstallDir string // where its files will be, on the node
	Force      bool   // overwrite what is there
}

// Enroll makes a node's certificate or token, and the configuration for its Choria server,
// and writes them to a directory, which it returns.
func (s *Site) Enroll(n Node, now time.Time) (dir string, err error) {
	if err := choria.CheckSender(n.Identity); err != nil {
		return "", fmt.Errorf("the name %q cannot be that of a node", n.Identity)
	}
	if n.Collective != "" && !contract.ValidName(n.Collective) {
		return "", fmt.Errorf("the name %q cannot be that of a collective; use A-Z, a-z, 0-9, _ and -", n.Collective)
	}
	if strings.ContainsAny(n.InstallDir, "\r\n") || !path.IsAbs(n.InstallDir) {
		return "", fmt.Errorf("the directory %q on the node is not absolute", n.InstallDir)
	}
	facts, err := json.MarshalIndent(map[string]any{"networking": map[string]string{"fqdn": n.Identity}}, "", "  ")
	if err != nil {
		return "", err
	}
	conf := serverConf{
		Identity: n.Identity, Broker: n.Broker, Collective: n.Collective, Dir: n.InstallDir, Facts: fileFacts, CA: fileCA,
	}
	prove := s.certificateFiles
	if s.IssuesTokens() {
		prove = s.tokenFiles
	}
	made, err := prove(&conf, now)
	if err != nil {
		return "", err
	}
	made = append(made, file{name: fileCA, text: s.authority.PEM(), mode: public}, file{name: fileFacts, text: string(facts) + "\n", mode: public},
		file{name: fileServerConf, text: conf.text(), mode: public})
	dir = filepath.Join(s.Dir, nodesDir, n.Identity)
	return dir, made.write(dir, func(string) bool { return n.Force })
}

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
	return files{{name: fileCert, text: certificate, mode: public}, {name: fileKey, text: key, mode: secret}}, err
}

func (s *Site) tokenFiles(conf *serverConf, now time.Time) (files, error) {
	if conf.Collective == "" {
		conf.Collective = "choria"
	}
	conf.Token, conf.Seed, conf.Issuer = fileToken, fileSeed, s.IssuerKey()
	publicKey, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	token, err := s.Token(conf.Identity, conf.Collective, publicKey, now)
	return files{{name: fileToken, text: token, mode: secret}, {name: fileSeed, text: hex.EncodeToString(private.Seed()), mode: secret}}, err
}
