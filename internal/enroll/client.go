package enroll

import (
	"crypto/ed25519"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// Files in a client's directory, beside ca.pem, cert.pem and key.pem.
const (
	fileClientConf  = "client.conf"
	fileClientToken = "client.jwt"
	fileClientSeed  = "client.seed"
)

const (
	// callerPrefix begins the caller id of a client with a token; the rest is the name of the user.
	callerPrefix = "choria="
	// clientSuffix follows the name of the user in the certificate that Choria's commands use by default.
	clientSuffix = ".mcollective"
)

// Client describes the client to be enrolled: a user of Choria's commands.
type Client struct {
	Identity   string // see Site.ClientIdentity
	Broker     string // host and port, or a URL such as wss://hub.example.net:443
	Collective string // empty: "mcollective" with certificates, "choria" with tokens
	InstallDir string // absolute path of the directory of the files on the client's machine; ~ is the home directory
	Force      bool   // overwrite existing files
}

// ClientIdentity returns the name under which the broker knows the client of a user: the name of its
// certificate, such as rip.mcollective, or its caller id, such as choria=rip, if the site has tokens. user
// may also be one of these.
func (s *Site) ClientIdentity(user string) string {
	user = strings.TrimPrefix(user, callerPrefix)
	if s.IssuesTokens() {
		return callerPrefix + strings.TrimSuffix(user, clientSuffix)
	}
	if !strings.Contains(user, ".") {
		user += clientSuffix
	}
	return user
}

// ClientUser returns the user that must run Choria's commands with the identity of a client. It is empty if
// the user must name the certificate in the environment.
func ClientUser(identity string) string {
	if user, isCaller := strings.CutPrefix(identity, callerPrefix); isCaller {
		return user
	}
	user, isDefault := strings.CutSuffix(identity, clientSuffix)
	if !isDefault {
		return ""
	}
	return user
}

// EnrollClient issues a client's certificate or token, writes it with a client.conf to a directory under
// clients/ in the site's directory, and returns that directory.
func (s *Site) EnrollClient(c Client, now time.Time) (dir string, err error) {
	err = checkEnrollment("client", strings.TrimPrefix(c.Identity, callerPrefix), c.Collective,
		strings.Replace(c.InstallDir, "~", "/", 1))
	if err != nil {
		return "", err
	}
	if err := s.checkInterrupted(); err != nil {
		return "", err
	}
	conf := clientConf{choriaConf: choriaConf{Broker: c.Broker, Collective: c.Collective, Dir: c.InstallDir, CA: fileCA}}
	var made files
	if s.IssuesTokens() {
		conf.Token, conf.Seed = fileClientToken, fileClientSeed
		made, err = s.tokenFiles(&conf.choriaConf, func(key ed25519.PublicKey) (string, error) {
			return s.ClientToken(c.Identity, key, now)
		})
	} else {
		conf.Identity = c.Identity
		made, err = s.certificateFiles(&conf.choriaConf, c.Identity, now)
	}
	if err != nil {
		return "", err
	}
	made = append(made, file{name: fileClientConf, text: conf.text(), mode: public})
	return s.writeEnrolled(clientsDir, c.Identity, made, c.Force)
}

// ClientToken issues a client's token for its public key. It permits what a client with a certificate may
// do, and all actions of all agents.
func (s *Site) ClientToken(callerID string, key ed25519.PublicKey, now time.Time) (string, error) {
	claims := choria.ClientClaims(callerID, key)
	claims.OrgUnit = s.issuerName
	claims.Agents = []string{"*"}
	claims.Permissions = map[string]bool{"fleet_management": true, "events_viewer": true, "streams_user": true,
		"service": true} // Choria's name for clients whose tokens are valid for long
	return choria.IssueToken(claims, s.issuer, now, now.AddDate(leafYears, 0, 0).Sub(now))
}
