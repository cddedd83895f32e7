package broker

import (
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Conn is a connection of a node, client, edge or provisioner, open or ended. User is ProvisioningUser for a node in
// provisioning.
type Conn struct {
	Server  string    // id of the server process
	ID      uint64    // unique in the server process
	User    string    // the identity that the peer proved; empty: none
	Name    string    // that the peer gave
	Address string    // host of the peer
	Began   time.Time // when it connected
	Ended   time.Time // zero: it is open
	Reason  string    // why it ended, in the server's words
	Role    Role      // RoleNone: it ended a while ago
}

// ListConnections returns the admitted connections that are open, and those of the last ones that
// ended which the server remembers, without internal ones.
func (b *Broker) ListConnections() ([]Conn, error) {
	connections, err := b.srv.Connz(&server.ConnzOptions{State: server.ConnAll, Username: true, Limit: math.MaxInt32})
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	list := make([]Conn, 0, len(connections.Conns))
	for _, c := range connections.Conns {
		// A connection that is not admitted yet has no account, and one within this process no address.
		admitted := c.Account == account || c.Account == systemAccount || isEdgeAccount(c.Account) ||
			c.Account == ProvisioningAccount
		if !admitted || c.IP == "" || b.auth.isInternal(c.Cid) {
			continue
		}
		found := Conn{
			Server: connections.ID, ID: c.Cid, User: c.AuthorizedUser, Name: c.Name, Address: c.IP,
			Began: c.Start, Reason: c.Reason, Role: b.RoleOf(c.Cid),
		}
		if c.Stop != nil {
			found.Ended = *c.Stop
		}
		list = append(list, found)
	}
	return list, nil
}
