package broker

import (
	"fmt"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/nats-io/nats-server/v2/server"
)

// Nodes that have no identity yet, and Choria's provisioner, which gives them one, connect to an account of their own.
// Nothing that is published there reaches the account of the nodes, its streams or the adapters: a provisioning token
// is shared by many nodes, so it proves no name. The account imports what the provisioner needs to elect a leader.

// ProvisioningAccount is the name of the account of the provisioner and of nodes in provisioning.
const ProvisioningAccount = "provisioning"

// ProvisioningUser is the user of every node in provisioning, in the server's events: none of them has proven a name.
// No node or client can have this name.
const ProvisioningUser = "(provisioning)"

// Provisioning is the [broker.provisioning] table: how nodes without an identity get one.
type Provisioning struct {
	ClientPassword          string      // of the provisioner; empty: provisioning is off
	SignerCert              []SignerKey // sign provisioning tokens, beside the issuers
	ProvisionerWithoutToken bool        // with issuers: the password alone admits the provisioner
	MaxConnections          int64       // of nodes in provisioning; 0: see limit
}

// Keys lists the keys of [broker.provisioning].
func (p *Provisioning) Keys() []config.Key {
	return []config.Key{
		{Name: "client_password", Value: config.Secret(&p.ClientPassword),
			Help: "password of Choria's provisioner, or file:PATH; empty: nodes in provisioning mode are refused"},
		{Name: "signer_cert", Value: signerKeys(&p.SignerCert),
			Help: "public keys that sign provisioning tokens, beside [broker.issuers]: hex ed25519, or paths of PEM files"},
		{Name: "provisioner_without_token", Value: config.Bool(&p.ProvisionerWithoutToken),
			Help: "true: with [broker.issuers], admit the provisioner with its password alone"},
		{Name: "max_connections", Value: config.Int(&p.MaxConnections, 0, 1_000_000),
			Help: "maximum number of connections of nodes in provisioning; " +
				"0: a tenth of broker.max_connections, at least 100, at most half"},
	}
}

// Validate has nothing to check between the keys; checkProvisioning compares them with those of [broker].
func (p *Provisioning) Validate(*config.Check) {}

// Enabled reports whether nodes without an identity may connect.
func (p *Provisioning) Enabled() bool { return p.ClientPassword != "" }

const (
	// provisioningShare is the default limit: one of so many of max_connections.
	provisioningShare = 10
	// minProvisioning is the lowest default, unless that is more than half of max_connections.
	minProvisioning = 100
)

// provisioningLimit returns how many connections of nodes in provisioning may be open.
func (c *Config) provisioningLimit() int {
	if c.Provisioning.MaxConnections > 0 {
		return int(c.Provisioning.MaxConnections)
	}
	return int(max(min(max(c.MaxConnections/provisioningShare, minProvisioning), c.MaxConnections/2), 1))
}

// checkProvisioning reports keys of [broker.provisioning] that have no effect, or with which no node or provisioner
// would be admitted, or the password could be read.
func (c *Config) checkProvisioning(check *config.Check) {
	p := &c.Provisioning
	problem := func(key, text string) { check.Problem("provisioning."+key, "%s", text) }
	if !p.Enabled() {
		if len(p.SignerCert) > 0 || p.ProvisionerWithoutToken || p.MaxConnections > 0 {
			problem("client_password", "empty, so provisioning is off; set it, or remove the other keys of the table")
		}
		return
	}
	if !c.TLS.Enabled() {
		problem("client_password", "given without TLS, so it could be read on the network; "+
			"give cert and key in [broker.tls]")
	}
	if len(c.Issuers) == 0 && len(p.SignerCert) == 0 {
		problem("signer_cert", "empty, so no provisioning token is accepted; set it, or [broker.issuers]")
	}
	if len(c.Issuers) == 0 && c.TLS.CA == "" {
		problem("client_password", "without [broker.issuers] the provisioner must have a certificate; "+
			"set ca in [broker.tls]")
	}
	if len(c.Issuers) == 0 && p.ProvisionerWithoutToken {
		problem("provisioner_without_token", "true, but without [broker.issuers] the provisioner needs no token: "+
			"it must have a certificate; remove the key")
	}
	if p.MaxConnections > c.MaxConnections {
		problem("max_connections", fmt.Sprintf("%d is more than broker.max_connections, which is %d",
			p.MaxConnections, c.MaxConnections))
	}
}

// What the provisioner needs to elect a leader among several: Choria's library uses the bucket with this prefix in
// place of "$JS.API", see https://choria.io/docs/streams/elections/.
const (
	electionInfo  = "$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION"
	electionKey   = "$KV.CHORIA_LEADER_ELECTION.provisioner"
	importedInfo  = "choria.streams.STREAM.INFO.KV_CHORIA_LEADER_ELECTION"
	importedKey   = "choria.streams." + electionKey
	modeComponent = "provision_mode_server" // in the lifecycle events of a server in provisioning mode
)

// provisioningAccount returns the account of the provisioner and of nodes in provisioning.
func provisioningAccount(nodes *server.Account) (*server.Account, error) {
	provisioning, err := newAccount(ProvisioningAccount)
	if err != nil {
		return nil, err
	}
	only := []*server.Account{provisioning}
	for subject, published := range map[string][]string{
		electionInfo: {importedInfo}, electionKey: {electionKey, importedKey},
	} {
		err := nodes.AddServiceExport(subject, only)
		if err == nil {
			err = nodes.SetServiceExportResponseThreshold(subject, answerExpiry)
		}
		for _, from := range published {
			if err == nil {
				err = provisioning.AddServiceImport(nodes, from, subject)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("import %s into the account of the provisioner: %w", subject, err)
		}
	}
	// The appliance answers in place of JetStream, and must know which connection asks: see mapChecked.
	return provisioning, provisioning.SetServiceImportSharing(nodes, electionInfo, true)
}

// provisioningEvents are the lifecycle events that a server in provisioning mode publishes.
var provisioningEvents = []string{"startup", "alive", "shutdown", "provisioned", "upgraded"}

// provisioningAgents are the agents that a server in provisioning mode has.
var provisioningAgents = []string{"discovery", "rpcutil", "choria_util", "choria_provision"}

// provisioningNode returns what a node in provisioning may do that calls itself by that name.
func provisioningNode(name string) *server.Permissions {
	var s subjects
	for _, event := range provisioningEvents {
		s.allowPublish("choria.lifecycle.event." + event + "." + modeComponent)
	}
	s.allowPublish("provisioning.reply.>", "provisioning.registration.>")
	for _, agent := range provisioningAgents {
		s.allowSubscribe("provisioning.broadcast.agent." + agent)
	}
	s.allowSubscribe("provisioning.node." + name)
	return s.permissions()
}

// provisionerPermissions returns what the provisioner may do: find nodes in provisioning, send them requests, read
// replies in its inbox, and be elected.
func provisionerPermissions(inbox []string) *server.Permissions {
	var s subjects
	for _, agent := range provisioningAgents {
		s.allowPublish("provisioning.broadcast.agent." + agent)
	}
	s.allowPublish("provisioning.node.>", "choria.lifecycle.event.startup.provisioner")
	s.allowPublish(importedInfo, electionKey, importedKey)
	s.allowSubscribe(inbox...)
	s.allowSubscribe("choria.lifecycle.event.startup." + modeComponent)
	return s.permissions()
}

// isProvisioning reports whether the connection is that of the provisioner, or of a node that asks for an identity.
func isProvisioning(_ *authenticator, c *connectionAttempt) bool {
	return c.user == provisioner || c.token != "" && choria.TokenPurpose(c.token) == choria.PurposeProvisioning
}

// admitProvisioning admits the provisioner and nodes in provisioning, over TLS only: password and provisioning token
// could be read on the network. Nodes may come through a proxy that ends TLS.
func admitProvisioning(a *authenticator, c *connectionAttempt) (admission, error) {
	switch {
	case !a.cfg.Provisioning.Enabled():
		return admission{}, errProvisioning
	case isNotClient(a, c):
		return admission{}, errNoCredentials
	case !c.encrypted && (c.user == provisioner || !a.cfg.isBehindProxy(c)):
		return admission{}, errNoTLS
	case c.user == provisioner:
		return a.admitProvisioner(c)
	default:
		return a.admitUnprovisioned(c)
	}
}

// isBehindProxy reports whether a connection came through a proxy that ends TLS.
func (c *Config) isBehindProxy(attempt *connectionAttempt) bool {
	return c.WebSocket.BehindProxy && attempt.listener == listenerWebSocket
}

// admitProvisioner requires the password and, besides, the token of a client with the permission "provisioner", or
// without issuers a certificate.
func (a *authenticator) admitProvisioner(c *connectionAttempt) (admission, error) {
	if !equalSecret(c.password, a.cfg.Provisioning.ClientPassword) {
		return admission{}, errWrongPassword
	}
	name, inbox := provisioner, []string{"provisioning.reply.>"}
	switch {
	case len(a.cfg.Issuers) == 0 && c.cert == nil:
		return admission{}, fmt.Errorf("%w: the provisioner has no certificate", errNoCredentials)
	case len(a.cfg.Issuers) > 0 && (c.token != "" || !a.cfg.Provisioning.ProvisionerWithoutToken):
		claims, err := a.verifyToken(c)
		if err != nil {
			return admission{}, err
		}
		if claims.Purpose != choria.PurposeClient || !claims.Permissions["provisioner"] {
			return admission{}, fmt.Errorf("%w: the token of %s does not allow provisioning", choria.ErrUntrusted, claims.Name())
		}
		name, inbox = claims.CallerID, hashedInbox(ProvisioningAccount, claims.CallerID)
	}
	as, err := a.admitClient(c, provisionerPermissions(inbox), name)
	as.account, as.role = ProvisioningAccount, RoleProvisioner
	return as, err
}

// admitUnprovisioned admits a node that has no identity yet. The name that it gives itself is not proven: it must not
// be that of a node that is connected.
func (a *authenticator) admitUnprovisioned(c *connectionAttempt) (admission, error) {
	if a.cfg.DenyServers {
		return admission{}, errServersDenied
	}
	claims, err := a.tokens.VerifyProvisioning(c.token, a.now())
	if err != nil {
		return admission{}, err
	}
	c.claims = claims
	if err := choria.CheckNode(c.name); err != nil {
		return admission{}, err
	}
	if err := a.checkNameIsFree(c.name); err != nil {
		return admission{}, err
	}
	return admission{
		account: ProvisioningAccount, user: ProvisioningUser, permissions: provisioningNode(c.name), role: RoleProvisioning,
	}, nil
}
