// Package simnode simulates Choria nodes: what a node registers, in the very bytes, and a
// fleet of them that registers over real connections. It knows nothing of who receives it.
package simnode

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/segmentio/ksuid"
)

// tokenValidity is as long as Choria's own examples make it.
const tokenValidity = 365 * 24 * time.Hour

// Node is one simulated node.
type Node struct {
	Identity string
	Protocol choria.Protocol

	body        []byte
	key         ed25519.PrivateKey // protocol 2
	token       string
	rsa         *rsa.PrivateKey // protocol 1, where it signs
	certificate string
}

// Kind is how nodes register.
type Kind struct {
	Protocol    choria.Protocol // 0: every second node speaks 1, the others 2
	Size        int64           // bytes of a registration, about; 0: as their facts come
	Key         *rsa.PrivateKey // signs for all nodes of protocol 1; nil: unsigned, as without a certificate
	Certificate string          // PEM, for Key
}

// NewNode makes the node of that index: the same index is the same node, with other keys.
// Nodes of protocol 2 sign with a key and a token of their own. Every second node of each
// protocol registers a file, the others their inventory.
func NewNode(index int, kind Kind, now time.Time) (*Node, error) {
	n := &Node{
		Identity: fmt.Sprintf("node%05d.example.net", index),
		Protocol: kind.Protocol, rsa: kind.Key, certificate: kind.Certificate,
	}
	if n.Protocol == 0 {
		n.Protocol = choria.Protocol(1 + index%2)
	}
	if n.Protocol == choria.V2 {
		if err := n.enroll(now); err != nil {
			return nil, err
		}
	}
	var err error
	n.body, err = n.newBody(index, kind.Size)
	return n, err
}

func (n *Node) newBody(index int, size int64) ([]byte, error) {
	if size > 0 {
		return choria.FileBody("/etc/choria/facts.json", time.Unix(1, 0), false, make([]byte, n.contentSize(size)), false)
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

// contentSize is how large a file must be for a registration of that size: base64 around
// base64 adds a third each time, twice in protocol 1 and four times in 2.
func (n *Node) contentSize(size int64) int64 {
	content := (size - 1100 - int64(len(n.certificate))*4/3) * 9 / 16
	if n.Protocol == choria.V2 {
		content = (size - 3000) * 81 / 256
	}
	return max(content, 1)
}

func (n *Node) enroll(now time.Time) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	n.key = private
	n.token, err = choria.Issue(choria.ServerClaims(n.Identity, []string{"mcollective"}, public), private, now, tokenValidity)
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
	raw, err = n.request(id, now).V1(n.rsa, n.certificate)
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
