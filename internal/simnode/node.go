// Package simnode simulates Choria nodes: what a node registers, in the very bytes, and a
// fleet of them that registers over real connections. It knows nothing of who receives it.
package simnode

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/segmentio/ksuid"
)

// tokenValidity is as long as Choria's own examples make it.
const tokenValidity = 365 * 24 * time.Hour

// Node is one simulated node. Every second speaks protocol 1, unsigned, as a node without
// a certificate does; the others speak protocol 2, signed with a key and a token of their own.
// Of each protocol, every second registers a file and the others their inventory.
type Node struct {
	Identity string
	Protocol choria.Protocol

	body  []byte
	key   ed25519.PrivateKey
	token string
}

// NewNode makes the node of that index: the same index is the same node, with other keys.
func NewNode(index int, now time.Time) (*Node, error) {
	n := &Node{Identity: fmt.Sprintf("node%05d.example.net", index), Protocol: choria.V1}
	if index%2 == 1 {
		n.Protocol = choria.V2
		if err := n.enroll(now); err != nil {
			return nil, err
		}
	}
	facts, err := facts(n.Identity, index)
	if err != nil {
		return nil, err
	}
	if index%4 < 2 {
		n.body, err = choria.FileBody("/etc/choria/facts.json", now, true, facts, true)
		return n, err
	}
	inventory, err := inventory(n.Identity, facts)
	if err != nil {
		return nil, err
	}
	n.body, err = choria.InventoryBody(inventory, true)
	return n, err
}

func (n *Node) enroll(now time.Time) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	n.key = private
	n.token, err = choria.IssueServerToken(n.Identity, []string{"mcollective"}, public, private, now, tokenValidity)
	return err
}

// Registration is a new registration and its request id.
func (n *Node) Registration(now time.Time) (id string, raw []byte, err error) {
	if n.Protocol == choria.V2 {
		id = ksuid.New().String()
		raw, err = n.request(id, now).V2(n.key, n.token)
		return id, raw, err
	}
	id = uuid()
	raw, err = n.request(id, now).V1(nil, "")
	return id, raw, err
}

func (n *Node) request(id string, now time.Time) choria.Request {
	return choria.NewRegistration(id, n.Identity, "mcollective", now, n.body)
}

// uuid is a version 4 UUID without dashes, the request id of protocol 1.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return hex.EncodeToString(b[:])
}

// inventory is what a node says of itself with the plugin inventory_content.
func inventory(identity string, facts []byte) ([]byte, error) {
	return json.Marshal(map[string]any{
		"agents": []map[string]any{
			{"name": "rpcutil", "version": "0.29.4", "author": "example", "license": "Apache-2.0", "timeout": 2, "url": "https://example.net", "description": "Utilities"},
		},
		"classes":     []string{"profile::base", "role::web"},
		"facts":       json.RawMessage(facts),
		"status":      map[string]any{"identity": identity, "uptime": 60, "connected_server": "nats://127.0.0.1:4222"},
		"collectives": []string{"mcollective"},
		"build_info":  map[string]any{"version": "0.29.4", "sha": "unknown"},
		"machines":    []string{},
	})
}
