package broker

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats-server/v2/server"
)

// provisioner is the user that Choria's provisioner connects as.
const provisioner = "provisioner"

// purposeProvisioning is of the tokens that nodes without an identity show.
const purposeProvisioning = "choria_provisioning"

// grant is what somebody is let in as.
type grant struct {
	account     string
	user        string              // who it is; empty: nobody has proved to be anybody
	permissions *server.Permissions // nil: everything
	organ       bool
}

// rule is one row of the table of who may connect.
type rule struct {
	applies func(*authenticator, *caller) bool
	decide  func(*authenticator, *caller) (grant, error)
}

// rules are tried in this order; the first that applies decides. Who meets none of them
// has shown nothing that counts.
var rules = []rule{
	{isOrgan, admitOrgan},
	{isSystemOrgan, admitSystemOrgan},
	{isStopping, refuseWith(errStopping)},
	{isProvisioning, refuseWith(errProvisioning)},
	{isAdminToken, admitAdminToken},
	{isLeaf, refuseWith(errNoCredentials)},
	{isSystemUser, admitSystemUser},
	{hasTokenThatCounts, admitToken},
	{hasCertificate, admitCertificate},
	{isLab, admitAnybody},
}

func refuseWith(err error) func(*authenticator, *caller) (grant, error) {
	return func(*authenticator, *caller) (grant, error) { return grant{}, err }
}

func isOrgan(a *authenticator, c *caller) bool       { return same(c.token, a.organSecret) }
func isSystemOrgan(a *authenticator, c *caller) bool { return same(c.token, a.systemSecret) }
func isAdminToken(a *authenticator, c *caller) bool  { return same(c.token, a.adminSecret) }
func isStopping(a *authenticator, _ *caller) bool    { return a.refusing.Load() }
func isLeaf(_ *authenticator, c *caller) bool        { return !c.client }
func hasCertificate(_ *authenticator, c *caller) bool {
	return c.cert != nil
}

// isLab is a broker where nothing can be proved: only this machine, or a network that is
// called safe, reaches it.
func isLab(a *authenticator, _ *caller) bool {
	return !a.cfg.TLS.enabled() && !a.tokens.CanVerify()
}

// hasTokenThatCounts is not asked where tokens prove nothing; there a certificate may.
func hasTokenThatCounts(a *authenticator, c *caller) bool {
	return c.token != "" && a.tokens.CanVerify()
}

func isProvisioning(_ *authenticator, c *caller) bool {
	return c.user == provisioner || c.token != "" && choria.TokenPurpose(c.token) == purposeProvisioning
}

func isSystemUser(a *authenticator, c *caller) bool {
	return a.cfg.System.User != "" && c.user == a.cfg.System.User
}

func admitOrgan(*authenticator, *caller) (grant, error) {
	return grant{account: account, user: "muster", organ: true}, nil
}

func admitSystemOrgan(*authenticator, *caller) (grant, error) {
	return grant{account: systemAccount, user: "muster", organ: true}, nil
}

func admitAdminToken(*authenticator, *caller) (grant, error) {
	return grant{account: account, user: "admin"}, nil
}

func admitAnybody(*authenticator, *caller) (grant, error) { return grant{account: account}, nil }

// admitSystemUser wants TLS, so that the password is not read on the way, and beside it a
// certificate or the token of a client that may use the system account.
func admitSystemUser(a *authenticator, c *caller) (grant, error) {
	if !c.encrypted {
		return grant{}, errNoTLS
	}
	if c.cert == nil {
		claims, err := a.verifyToken(c)
		if err != nil {
			return grant{}, err
		}
		if claims.Purpose != choria.PurposeClient || !claims.Permissions["system_user"] && !claims.Permissions["org_admin"] {
			return grant{}, fmt.Errorf("%w: the token of %s does not allow the system account", choria.ErrUntrusted, claims.Name())
		}
	}
	if !same(c.password, a.cfg.System.Password) {
		return grant{}, errWrongPassword
	}
	g, err := a.admitClient(c, nil, c.user)
	g.account = systemAccount
	return g, err
}

// verifyToken checks the token, and that who shows it holds its key.
func (a *authenticator) verifyToken(c *caller) (*choria.Claims, error) {
	if c.token == "" {
		return nil, errNoCredentials
	}
	claims, err := a.tokens.Verify(c.token, a.now())
	if err != nil {
		return nil, err
	}
	return claims, c.holds(claims)
}

func admitToken(a *authenticator, c *caller) (grant, error) {
	claims, err := a.verifyToken(c)
	if err != nil {
		return grant{}, err
	}
	if claims.Purpose == choria.PurposeClient {
		return a.admitClient(c, a.allowed.tokenClient(claims), claims.CallerID)
	}
	return a.admitNode(a.allowed.tokenNode(claims), claims.Identity)
}

// admitCertificate lets in as what the configuration says that name is.
func admitCertificate(a *authenticator, c *caller) (grant, error) {
	name, roles := c.certName(), a.roles.Load()
	switch {
	case matches(roles.Admin, name):
		return a.admitClient(c, nil, name)
	case matches(roles.Client, name):
		caller := "choria=" + name
		return a.admitClient(c, a.allowed.certClient(caller, a.cfg.Collectives), caller)
	default:
		return a.admitNode(a.allowed.certNode(name, a.cfg.Collectives, roles), name)
	}
}

// admitNode lets a node in. Its identity becomes part of subjects, and may be no wildcard.
func (a *authenticator) admitNode(permissions *server.Permissions, identity string) (grant, error) {
	if a.cfg.DenyServers {
		return grant{}, errServersDenied
	}
	if err := choria.CheckSender(identity); err != nil {
		return grant{}, err
	}
	if strings.Contains(identity, "=") { // as in a client's caller id, whose inbox it would have
		return grant{}, fmt.Errorf("%w: %q is a client's", choria.ErrBadSender, identity)
	}
	return grant{account: account, user: identity, permissions: permissions}, nil
}

// admitClient lets a client or an administrator in, from where these may come.
func (a *authenticator) admitClient(c *caller, permissions *server.Permissions, name string) (grant, error) {
	hosts := a.cfg.clientHosts
	if len(hosts) > 0 && !slices.ContainsFunc(hosts, func(p netip.Prefix) bool { return p.Contains(c.address) }) {
		return grant{}, errWrongHost
	}
	return grant{account: account, user: name, permissions: permissions}, nil
}
