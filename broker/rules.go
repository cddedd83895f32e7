package broker

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats-server/v2/server"
)

// provisioner is the user that Choria's provisioner connects as.
const provisioner = "provisioner"

// admission is what a connection is admitted as.
type admission struct {
	account     string
	user        string              // proven identity; empty: none
	permissions *server.Permissions // nil: everything
	role        Role
	adminBy     string // what proved administrator's rights; empty: it has none, or this is a lab
}

// rule is one row of the table of rules.
type rule struct {
	matches func(*authenticator, *connectionAttempt) bool
	decide  func(*authenticator, *connectionAttempt) (admission, error)
}

// rules are tried in this order; the first that matches decides. A connection that matches
// none is refused: it has no credentials that are accepted.
var rules = []rule{
	{isInternal, admitInternal},
	{isInternalSystem, admitInternalSystem},
	{isIntake, admitIntake},
	{presentsNkey, refuseWith(fmt.Errorf("%w: it presents an nkey", choria.ErrUntrusted))},
	{hasLongName, refuseWith(fmt.Errorf("%w: its name, library or version is too long", choria.ErrLimit))},
	{isStarting, refuseWith(errStarting)},
	{isStopping, refuseWith(errStopping)},
	{isLeafnode, admitLeafnode},
	{isProvisioning, admitProvisioning},
	{isAdminToken, admitAdminToken},
	{isNotClient, refuseWith(errNoCredentials)},
	{isSystemUser, admitSystemUser},
	{hasVerifiableToken, admitToken},
	{hasCertificate, admitCertificate},
	{isUnprovenEdge, admitUnprovenEdge},
	{isLab, admitUnproven},
}

func refuseWith(err error) func(*authenticator, *connectionAttempt) (admission, error) {
	return func(*authenticator, *connectionAttempt) (admission, error) { return admission{}, err }
}

func isInternal(a *authenticator, c *connectionAttempt) bool {
	return equalSecret(c.token, a.internalSecret)
}
func isInternalSystem(a *authenticator, c *connectionAttempt) bool {
	return equalSecret(c.token, a.systemSecret)
}
func isAdminToken(a *authenticator, c *connectionAttempt) bool {
	return equalSecret(c.token, a.adminSecret)
}
func isStopping(a *authenticator, _ *connectionAttempt) bool     { return a.refuseNew.Load() }
func hasCertificate(_ *authenticator, c *connectionAttempt) bool { return c.cert != nil }

// isStarting reports whether the appliance is not ready for a connection from outside this process: the server opens
// all ports except that of [broker] when it starts.
func isStarting(a *authenticator, c *connectionAttempt) bool {
	return c.address.IsValid() && !a.accepts.Load()
}

// isNotClient reports whether the connection is neither that of a node nor that of a client.
func isNotClient(_ *authenticator, c *connectionAttempt) bool {
	return c.listener != listenerNATS && c.listener != listenerWebSocket
}

// maxName and maxClient are how long, in bytes, the name of a connection may be, and its library and
// version together. The server adds them to every message that an Intake imports.
const (
	maxName   = 512
	maxClient = 128
)

func hasLongName(_ *authenticator, c *connectionAttempt) bool {
	return len(c.name) > maxName || len(c.client) > maxClient
}

// presentsNkey reports whether the connection gave an nkey. The server would report that text as its
// user, in place of the proven identity.
func presentsNkey(_ *authenticator, c *connectionAttempt) bool { return c.nkey }

// isLab reports whether the broker verifies no identity: only this machine reaches it, or
// plaintext = true is set. With a CA it is not a lab: an unrestricted connection could write
// messages that look verified.
func isLab(a *authenticator, _ *connectionAttempt) bool {
	return !a.cfg.VerifiesIdentities() && !a.tokens.CanVerify()
}

// hasVerifiableToken is false if the broker trusts no issuer or signer. The token is then ignored,
// and a certificate may be accepted.
func hasVerifiableToken(a *authenticator, c *connectionAttempt) bool {
	return c.token != "" && a.tokens.CanVerify()
}

func isSystemUser(a *authenticator, c *connectionAttempt) bool {
	return a.cfg.System.User != "" && c.user == a.cfg.System.User
}

func admitInternal(*authenticator, *connectionAttempt) (admission, error) {
	return admission{account: account, user: "muster", role: RoleInternal}, nil
}

func admitInternalSystem(*authenticator, *connectionAttempt) (admission, error) {
	return admission{account: systemAccount, user: "muster", role: RoleInternal}, nil
}

func admitAdminToken(*authenticator, *connectionAttempt) (admission, error) {
	return admission{account: account, user: "admin", role: RoleAdmin, adminBy: "admin.token"}, nil
}

func admitUnproven(_ *authenticator, c *connectionAttempt) (admission, error) {
	return admission{account: account, role: unprovenRole(c.name)}, nil
}

// systemPermissions keep the system user from JetStream's API: a request there would reach JetStream past the
// appliance, or with the header of another connection. In the system account it has no use.
var systemPermissions = &server.Permissions{Publish: &server.SubjectPermission{
	Deny: []string{
		contract.PrefixAPI + ">", contract.SubjectAPI + ">", contract.SubjectChecked + ">", contract.SubjectRawAPI + ">",
	},
}}

// admitSystemUser requires TLS, so that the password cannot be read on the network, and
// besides the password a certificate or the token of a client that may use the system account.
func admitSystemUser(a *authenticator, c *connectionAttempt) (admission, error) {
	if !c.encrypted {
		return admission{}, errNoTLS
	}
	if c.cert != nil {
		if as, ok := a.admitEdge(c.certName()); ok {
			return as, nil
		}
	} else {
		claims, err := a.verifyToken(c)
		if err != nil {
			return admission{}, err
		}
		if as, ok := a.admitEdge(claims.Name()); ok {
			return as, nil
		}
		allowed := claims.Permissions["system_user"] || claims.Permissions["org_admin"]
		if claims.Purpose != choria.PurposeClient || !allowed {
			return admission{}, fmt.Errorf("%w: the token of %s does not allow the system account",
				choria.ErrUntrusted, claims.Name())
		}
	}
	if !equalSecret(c.password, a.cfg.System.Password) {
		return admission{}, errWrongPassword
	}
	as, err := a.admitClient(c, systemPermissions, c.user)
	as.account, as.role, as.adminBy = systemAccount, RoleAdmin, "password"
	return as, err
}

// verifyToken checks the token, and that the connection has its key.
func (a *authenticator) verifyToken(c *connectionAttempt) (*choria.Claims, error) {
	if c.token == "" {
		return nil, errNoCredentials
	}
	claims, err := a.tokens.Verify(c.token, a.now())
	if err != nil {
		return nil, err
	}
	c.claims = claims
	return claims, c.checkKey(claims)
}

func admitToken(a *authenticator, c *connectionAttempt) (admission, error) {
	claims, err := a.verifyToken(c)
	if err != nil {
		return admission{}, err
	}
	if as, ok := a.admitEdge(claims.Name()); ok {
		return as, nil
	}
	if claims.Purpose == choria.PurposeClient {
		as, err := a.admitClient(c, a.permissions.tokenClient(claims), claims.CallerID)
		if claims.Permissions["org_admin"] || claims.Permissions["streams_admin"] {
			as.role, as.adminBy = RoleAdmin, "token"
		}
		return as, err
	}
	return a.admitNode(a.permissions.tokenNode(claims), claims.Identity)
}

// admitCertificate admits the connection in the role that the configuration gives to its name.
func admitCertificate(a *authenticator, c *connectionAttempt) (admission, error) {
	name, roles := c.certName(), a.roles.Load()
	if as, ok := a.admitEdge(name); ok {
		return as, nil
	}
	switch {
	case name == "": // the connection could choose its user
		return admission{}, fmt.Errorf("%w: the certificate has no name", choria.ErrBadSender)
	case matches(roles.Admin, name):
		as, err := a.admitClient(c, nil, name)
		as.role, as.adminBy = RoleAdmin, "certificate"
		return as, err
	case roles.readerStreams(name) != nil:
		return a.admitClient(c, a.permissions.readerPermissions(name, roles.readerStreams(name)), certCaller(name))
	case matches(roles.Client, name):
		return a.admitClient(c, a.permissions.certClient(name, roles), certCaller(name))
	default:
		return a.admitNode(a.permissions.certNode(name, a.cfg.Collectives, roles), name)
	}
}

// admitNode admits a node. Its identity becomes part of subjects, so it may not be a wildcard.
func (a *authenticator) admitNode(permissions *server.Permissions, identity string) (admission, error) {
	if a.cfg.DenyServers {
		return admission{}, errServersDenied
	}
	if err := choria.CheckNode(identity); err != nil {
		return admission{}, err
	}
	return admission{account: account, user: identity, permissions: permissions, role: RoleNode}, nil
}

// admitClient admits a client or an administrator that connects from one of client_hosts.
func (a *authenticator) admitClient(
	c *connectionAttempt, permissions *server.Permissions, name string,
) (admission, error) {
	hosts := a.cfg.ClientHosts
	if len(hosts) > 0 && !slices.ContainsFunc(hosts, func(p netip.Prefix) bool { return p.Contains(c.address) }) {
		return admission{}, errWrongHost
	}
	return admission{account: account, user: name, permissions: permissions, role: RoleClient}, nil
}
