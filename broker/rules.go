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

// purposeProvisioning is the purpose of the tokens that nodes without an identity present.
const purposeProvisioning = "choria_provisioning"

// grant is what a connection is admitted as.
type grant struct {
	account     string
	user        string              // proven identity; empty: none
	permissions *server.Permissions // nil: everything
	internal    bool
}

// rule is one row of the table of rules.
type rule struct {
	matches func(*authenticator, *caller) bool
	decide  func(*authenticator, *caller) (grant, error)
}

// rules are tried in this order; the first that matches decides. A connection that matches
// none is refused: it has presented nothing that counts.
var rules = []rule{
	{isInternal, admitInternal},
	{isInternalSystem, admitInternalSystem},
	{isStopping, refuseWith(errStopping)},
	{isProvisioning, refuseWith(errProvisioning)},
	{isAdminToken, admitAdminToken},
	{isLeaf, refuseWith(errNoCredentials)},
	{isSystemUser, admitSystemUser},
	{hasToken, admitToken},
	{hasCertificate, admitCertificate},
	{isLab, admitUnproven},
}

func refuseWith(err error) func(*authenticator, *caller) (grant, error) {
	return func(*authenticator, *caller) (grant, error) { return grant{}, err }
}

func isInternal(a *authenticator, c *caller) bool       { return equalSecret(c.token, a.internalSecret) }
func isInternalSystem(a *authenticator, c *caller) bool { return equalSecret(c.token, a.systemSecret) }
func isAdminToken(a *authenticator, c *caller) bool     { return equalSecret(c.token, a.adminSecret) }
func isStopping(a *authenticator, _ *caller) bool       { return a.refusing.Load() }
func isLeaf(_ *authenticator, c *caller) bool           { return !c.client }
func hasCertificate(_ *authenticator, c *caller) bool   { return c.cert != nil }

// isLab reports whether the broker accepts no proof of identity at all: only this machine, or a
// network that the configuration calls safe, reaches it.
func isLab(a *authenticator, _ *caller) bool {
	return !a.cfg.TLS.Enabled() && !a.tokens.CanVerify()
}

// hasToken ignores tokens if the broker trusts none; a certificate may count then.
func hasToken(a *authenticator, c *caller) bool { return c.token != "" && a.tokens.CanVerify() }

func isProvisioning(_ *authenticator, c *caller) bool {
	return c.user == provisioner || c.token != "" && choria.TokenPurpose(c.token) == purposeProvisioning
}

func isSystemUser(a *authenticator, c *caller) bool {
	return a.cfg.System.User != "" && c.user == a.cfg.System.User
}

func admitInternal(*authenticator, *caller) (grant, error) {
	return grant{account: account, user: "muster", internal: true}, nil
}

func admitInternalSystem(*authenticator, *caller) (grant, error) {
	return grant{account: systemAccount, user: "muster", internal: true}, nil
}

func admitAdminToken(*authenticator, *caller) (grant, error) {
	return grant{account: account, user: "admin"}, nil
}

func admitUnproven(*authenticator, *caller) (grant, error) { return grant{account: account}, nil }

// admitSystemUser requires TLS, so that the password cannot be read on the network, and
// besides the password a certificate or the token of a client that may use the system account.
func admitSystemUser(a *authenticator, c *caller) (grant, error) {
	if !c.encrypted {
		return grant{}, errNoTLS
	}
	if c.cert == nil {
		claims, err := a.verifyToken(c)
		if err != nil {
			return grant{}, err
		}
		allowed := claims.Permissions["system_user"] || claims.Permissions["org_admin"]
		if claims.Purpose != choria.PurposeClient || !allowed {
			return grant{}, fmt.Errorf("%w: the token of %s does not allow the system account",
				choria.ErrUntrusted, claims.Name())
		}
	}
	if !equalSecret(c.password, a.cfg.System.Password) {
		return grant{}, errWrongPassword
	}
	g, err := a.admitClient(c, nil, c.user)
	g.account = systemAccount
	return g, err
}

// verifyToken checks the token, and that the caller holds its key.
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
		return a.admitClient(c, a.permissions.tokenClient(claims), claims.CallerID)
	}
	return a.admitNode(a.permissions.tokenNode(claims), claims.Identity)
}

// admitCertificate admits the caller in the role that the configuration gives to its name.
func admitCertificate(a *authenticator, c *caller) (grant, error) {
	name, roles := c.certName(), a.roles.Load()
	switch {
	case matches(roles.Admin, name):
		return a.admitClient(c, nil, name)
	case matches(roles.Client, name):
		callerID := "choria=" + name
		return a.admitClient(c, a.permissions.certClient(callerID, a.cfg.Collectives), callerID)
	default:
		return a.admitNode(a.permissions.certNode(name, a.cfg.Collectives, roles), name)
	}
}

// admitNode admits a node. Its identity becomes part of subjects, so it may not be a wildcard.
func (a *authenticator) admitNode(permissions *server.Permissions, identity string) (grant, error) {
	if a.cfg.DenyServers {
		return grant{}, errServersDenied
	}
	if err := choria.CheckSender(identity); err != nil {
		return grant{}, err
	}
	if strings.Contains(identity, "=") { // as in a client's caller id, whose inbox the node would get
		return grant{}, fmt.Errorf("%w: %q is the name of a client", choria.ErrBadSender, identity)
	}
	return grant{account: account, user: identity, permissions: permissions}, nil
}

// admitClient admits a client or an administrator that connects from one of client_hosts.
func (a *authenticator) admitClient(c *caller, permissions *server.Permissions, name string) (grant, error) {
	hosts := a.cfg.ClientHosts
	if len(hosts) > 0 && !slices.ContainsFunc(hosts, func(p netip.Prefix) bool { return p.Contains(c.address) }) {
		return grant{}, errWrongHost
	}
	return grant{account: account, user: name, permissions: permissions}, nil
}
