package broker

import (
	"fmt"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats-server/v2/server"
)

// isLeafnode reports whether the connection is that of a leaf node.
func isLeafnode(_ *authenticator, c *connectionAttempt) bool { return c.listener == listenerLeafnode }

// admitLeafnode admits a leaf node that proves the name of one of [broker.leafnodes.peers].
func admitLeafnode(a *authenticator, c *connectionAttempt) (admission, error) {
	name, err := a.leafnodeName(c)
	if err != nil {
		return admission{}, err
	}
	permissions, known := a.leafnodes[name]
	if !known {
		return admission{}, fmt.Errorf("%w: %q is not in [broker.leafnodes.peers]", errUnknownLeafnode, name)
	}
	return admission{
		account: leafAccount("peer", name), user: name, permissions: permissions, role: RoleLeafnode,
	}, nil
}

// leafnodeName returns the name that the connection proves, in a lab the one that it gives.
func (a *authenticator) leafnodeName(c *connectionAttempt) (string, error) {
	switch {
	case hasVerifiableToken(a, c):
		claims, err := a.verifyToken(c)
		if err != nil {
			return "", err
		}
		if claims.Purpose == choria.PurposeClient {
			return claims.Name(), choria.CheckSender(claims.Name())
		}
		return claims.Name(), choria.CheckNode(claims.Name())
	case c.cert != nil:
		return c.certName(), choria.CheckSender(c.certName())
	case isLab(a, c):
		return c.user, nil
	default:
		return "", errNoCredentials
	}
}

// leafnodePermissions returns the permissions of each leaf node that is accepted, by its name.
func (b *Broker) leafnodePermissions() map[string]*server.Permissions {
	all := map[string]*server.Permissions{}
	for name, allowed := range b.cfg.Leafnodes.Peers {
		all[name] = b.crossingOf(allowed).permissions()
	}
	return all
}
