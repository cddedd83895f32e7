// Package simnode simulates Choria nodes: it builds the exact bytes that a node registers with,
// and runs many nodes that register over real connections. It does not check what happens to them.
package simnode

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/segmentio/ksuid"
)

// Collective is the collective of all nodes.
const Collective = "mcollective"

// tokenValidity is that of Choria's own examples.
const tokenValidity = 365 * 24 * time.Hour

// Node is one simulated node.
type Node struct {
	Identity string
	Protocol choria.Protocol

	body []byte // of the registration
	Credentials
}

// Credentials authenticate a node and sign its registrations.
type Credentials struct {
	RSA         *rsa.PrivateKey    // of protocol 1; nil: registrations are unsigned
	Certificate string             // PEM, of RSA
	Key         ed25519.PrivateKey // of protocol 2
	Token       string             // a JWT, of Key
}

// NodeOptions says how nodes register and authenticate.
type NodeOptions struct {
	Protocol choria.Protocol // 0: nodes alternate between 1 and 2
	Size     int64           // approximate bytes of a registration; 0: realistic facts
	Site     *enroll.Site    // issues certificates and tokens; nil: no site trusts the nodes
	RSA      *rsa.PrivateKey // shared by all nodes of protocol 1 with a certificate, because making a key is slow
	Domain   string          // of their names; empty: example.net
	First    int             // index of the first node

	Unprovisioned bool // they have no credentials; see Nodes.Provision
}

// NewCredentials returns the credentials of an identity. Without a site, those of protocol 1 are
// empty, and those of protocol 2 have a token that the identity has signed itself.
func (o NodeOptions) NewCredentials(identity string, protocol choria.Protocol) (c Credentials, err error) {
	switch {
	case protocol == choria.V1 && o.Site == nil:
		return c, nil
	case protocol == choria.V1:
		c.RSA = o.RSA
		c.Certificate, err = o.Site.Certificate(identity, o.RSA.Public(), time.Now())
		return c, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return c, err
	}
	c.Key = private
	if o.Site != nil {
		c.Token, err = o.Site.Token(identity, Collective, public, time.Now())
	} else {
		claims := choria.ServerClaims(identity, []string{Collective}, public)
		c.Token, err = choria.IssueToken(claims, private, time.Now(), tokenValidity)
	}
	return c, err
}

// NewNode makes the node with that index. The same index gives the same node, with new keys.
// Half of the nodes of each protocol register a file of facts, the others an inventory.
func NewNode(index int, o NodeOptions) (*Node, error) {
	n := &Node{Identity: fmt.Sprintf("node%05d.%s", index, cmp.Or(o.Domain, "example.net")), Protocol: o.Protocol}
	if n.Protocol == 0 {
		n.Protocol = choria.Protocol(1 + index%2)
	}
	var err error
	if !o.Unprovisioned {
		n.Credentials, err = o.NewCredentials(n.Identity, n.Protocol)
	}
	if err != nil {
		return nil, err
	}
	n.body, err = n.newBody(index, o.Size)
	return n, err
}

func (n *Node) newBody(index int, size int64) ([]byte, error) {
	if size > 0 {
		content := make([]byte, n.contentSize(size))
		return choria.FileBody("/etc/choria/facts.json", time.Unix(1, 0), false, content, false)
	}
	facts, err := facts(n.Identity, index)
	if err != nil {
		return nil, err
	}
	if index%4 < 2 {
		return choria.FileBody("/etc/choria/facts.json", time.Unix(1, 0), true, facts, true)
	}
	inventory, err := inventory(n.Identity, facts)
	if err != nil {
		return nil, err
	}
	return choria.InventoryBody(inventory, true)
}

// contentSize returns the size of the file in a registration of that size, in bytes. Each layer of
// base64 adds a third; protocol 1 has two layers, protocol 2 has four.
func (n *Node) contentSize(size int64) int64 {
	content := (size - 1100 - int64(len(n.Certificate))*4/3) * 9 / 16
	if n.Protocol == choria.V2 {
		content = (size - 3000) * 81 / 256
	}
	return max(content, 1)
}

// Registration returns a new registration of the node, and its request id.
func (n *Node) Registration(now time.Time) (id string, raw []byte, err error) {
	if n.Protocol == choria.V2 {
		id = ksuid.New().String()
		raw, err = n.request(id, now).EncodeV2(n.Key, n.Token)
		return id, raw, err
	}
	id = uuid()
	r := n.request(id, now)
	if n.RSA != nil {
		r.Caller = "choria=" + n.Identity
	}
	raw, err = r.EncodeV1(n.RSA, n.Certificate)
	return id, raw, err
}

func (n *Node) request(id string, now time.Time) choria.Request {
	return choria.NewRegistration(id, n.Identity, Collective, now, n.body)
}

// uuid returns a UUID of version 4 without dashes, as in the request ids of protocol 1.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return hex.EncodeToString(b[:])
}

// inventory returns the registration of a node that uses the plugin inventory_content.
func inventory(identity string, facts []byte) ([]byte, error) {
	return json.Marshal(map[string]any{
		"agents": []map[string]any{
			{
				"name": "rpcutil", "version": "0.29.4", "author": "example", "license": "Apache-2.0", "timeout": 2,
				"url": "https://example.net", "description": "Utilities",
			},
		},
		"classes":     []string{"profile::base", "role::web"},
		"facts":       json.RawMessage(facts),
		"status":      map[string]any{"identity": identity, "uptime": 60, "connected_server": "nats://127.0.0.1:4222"},
		"collectives": []string{Collective},
		"build_info":  map[string]any{"version": "0.29.4", "sha": "unknown"},
		"machines":    []string{},
	})
}
