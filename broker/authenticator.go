package broker

import (
	"crypto/rand"
	"crypto/subtle"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats-server/v2/server"
)

// Accounts of the server, beside those of Intakes. Nodes and streams share one.
const (
	account       = "choria"
	systemAccount = "system"
)

// authenticator decides which connections are admitted, as what, and with which permissions.
// Internal connections, those of this process, prove themselves with a secret that never
// leaves it; administrators on this machine with the admin token. The rules decide on all
// other connections.
type authenticator struct {
	cfg         *Config
	verifier    *choria.Verifier
	tokens      *choria.TokenVerifier
	now         func() time.Time
	permissions permissionBuilder
	refusals    *refusals
	admitted    admitted
	audit       func(audit.Record) // nil: not recorded
	identities  identities

	provisioning provisioningConns

	sockets *sockets
	links   *links

	connectionRoles connectionRoles
	roles           atomic.Pointer[Roles]          // in force; those of cfg until the first Reload
	edges           atomic.Pointer[edges]          // in force
	leafnodes       map[string]*server.Permissions // of those that are accepted, by name; none before Open

	internalSecret string            // for connections into the account of the nodes
	systemSecret   string            // for internal connections into the system account
	intakeSecrets  map[string]string // for internal connections into the account of an Intake, by account
	adminSecret    string
	accepts        atomic.Bool // Accept was called; until then connections from outside are refused
	refuseNew      atomic.Bool // refuse all new connections that are not internal
	lookupAccount  func(name string) (*server.Account, error)
	isOpen         func(id uint64) bool // whether the server has the connection
	disconnect     func(id uint64) bool // ends a connection, and reports whether the server had it
}

func newAuthenticator(cfg *Config, o Options) *authenticator {
	a := &authenticator{
		cfg:      cfg,
		verifier: o.Verifier,
		tokens:   o.Verifier.TokenVerifier(),
		now:      o.Now,
		permissions: permissionBuilder{
			ingest: o.Ingest, private: o.Private, mainCollective: cfg.MainCollective,
		},
		audit:          o.Audit,
		refusals:       newRefusals(o.Log, o.Rejected, o.Now),
		internalSecret: rand.Text(),
		systemSecret:   rand.Text(),
		intakeSecrets:  intakeSecrets(o.Intakes),
		adminSecret:    rand.Text(),
		admitted:       admitted{proofs: map[uint64]*proof{}},
		identities:     identities{limit: cfg.identityLimit(o.Memory), ids: map[string][]uint64{}},
		sockets:        newSockets(o.Now),

		provisioning: newProvisioningConns(cfg.provisioningLimit()),

		connectionRoles: connectionRoles{roles: map[uint64]Role{}, limit: minRoles},
	}
	a.roles.Store(&cfg.Roles)
	a.edges.Store(&edges{})
	return a
}

// Check implements server.Authentication. The server calls it on the goroutine of the
// connection, so it may not block.
func (a *authenticator) Check(connection server.ClientAuthentication) bool {
	c := newConnectionAttempt(connection)
	decision, err := a.decideAndRemember(connection.GetID(), c)
	if err == nil {
		err = a.limitConnections(connection.GetID(), c, decision)
	}
	if err != nil {
		a.refusals.countRefusal(err, c.remote(), c.name)
		return false
	}
	if !a.admit(connection, decision) {
		return false
	}
	if decision.adminBy != "" && a.audit != nil {
		a.audit(audit.Record{
			Action: contract.ActionConnect, Identity: decision.user, Address: c.remote(), Connection: connection.GetID(),
			Name: c.name, Proof: decision.adminBy,
		})
	}
	return true
}

// limitConnections limits how many connections an identity has. The oldest connection of an edge that has many is
// ended, and the other one of a leaf node: it has given it up, and must not wait until that connection has not answered
// a ping. The provisioner has several for each of its workers, and no limit.
func (a *authenticator) limitConnections(id uint64, c *connectionAttempt, as admission) error {
	switch {
	case as.user == "" || as.permissions == nil || as.role == RoleProvisioner:
		return nil
	case as.role == RoleProvisioning:
		return a.limitProvisioning(id, c)
	case as.role == RoleEdge:
		a.replaceOldest(as.user, id, max(a.identities.limit, minEdgeConnections))
		return nil
	case as.role == RoleLeafnode: // two would receive and send everything twice
		a.replaceLink(as.account, id)
		return nil
	case as.role == RoleNode:
		return a.limitNode(id, as.user)
	default:
		return a.identities.add(as.user, id, a.isOpen)
	}
}

// replaceOldest adds a connection of an identity, and ends its oldest one if it has more than limit.
func (a *authenticator) replaceOldest(identity string, id uint64, limit int) {
	if oldest, ok := a.identities.replaceOldest(identity, id, limit, a.isOpen); ok {
		a.disconnect(oldest)
	}
}

// replaceLink makes a connection the one of a leaf node, and ends the one before. The server lists a leaf node only a
// moment after Check, and cannot end it before: watchLinks does.
func (a *authenticator) replaceLink(account string, id uint64) {
	if before := a.links.replace(account, id); before != 0 && a.disconnect(before) {
		a.links.logReplaced(account, a.now())
	}
}

// decideAndRemember decides, and records the proof of the connection. It does so again if the roles or the edges have
// changed in the meantime: changeRoles and changeSites end the connections that are recorded.
func (a *authenticator) decideAndRemember(id uint64, c *connectionAttempt) (admission, error) {
	for {
		roles, edges := a.roles.Load(), a.edges.Load()
		decision, err := a.decide(c)
		if err == nil {
			err = a.remember(id, c, decision)
		}
		if err != nil || roles == a.roles.Load() && edges == a.edges.Load() {
			return decision, err
		}
	}
}

// remember records what the connection has proved its identity with, so that it can be ended once that
// is not valid any more. It returns an error if that is so already: files may have been loaded again
// since the connection was verified.
func (a *authenticator) remember(id uint64, c *connectionAttempt, as admission) error {
	p := proofOf(c, as.user)
	if p == nil && as.role == RoleEdge { // in a lab
		p = &proof{name: as.user, address: c.remote()}
	}
	if p == nil || as.role == RoleInternal {
		return nil
	}
	a.admitted.add(id, p)
	err := p.check(a.verifier, a.now())
	if err != nil {
		a.admitted.remove(id)
	}
	return err
}

// decide verifies the certificate, as the handshake did, and applies the first rule that matches.
func (a *authenticator) decide(c *connectionAttempt) (admission, error) {
	if len(c.presented) > 0 {
		var err error
		if c.certificate, err = a.verifier.VerifyCertificates(c.presented, a.now()); err != nil {
			return admission{}, err
		}
	}
	for _, r := range rules {
		if r.matches(a, c) {
			return r.decide(a, c)
		}
	}
	return admission{}, errNoCredentials
}

func (a *authenticator) admit(connection server.ClientAuthentication, as admission) bool {
	acc, err := a.lookupAccount(as.account)
	if err != nil {
		return false
	}
	a.connectionRoles.add(connection.GetID(), as.role, a.isOpen)
	a.sockets.admit(connection.RemoteAddress(), connection.GetID())
	connection.RegisterUser(&server.User{Username: as.user, Account: acc, Permissions: as.permissions})
	return true
}

// isInternal reports whether the connection with that id is internal.
func (a *authenticator) isInternal(id uint64) bool {
	return a.connectionRoles.get(id) == RoleInternal
}

// equalSecret compares in constant time.
func equalSecret(given, secret string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}
