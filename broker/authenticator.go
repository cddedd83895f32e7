package broker

import (
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
)

// Accounts of the server. Nodes, adapters and streams share one: publishing across
// accounts costs several times as much.
const (
	account       = "choria"
	systemAccount = "system"
)

// authenticator decides who may connect and into which account. The organs of this
// process are known by a secret that never leaves it, and who may read the data directory
// by another. With TLS everybody else has to show a certificate under the CA; without,
// everybody is let in, because only this machine, or a network called safe, reaches the
// listener.
type authenticator struct {
	organSecret      string
	systemSecret     string
	adminSecret      string
	needsCertificate bool
	refusing         atomic.Bool
	lookup           func(name string) (*server.Account, error)

	mu     sync.Mutex
	organs map[uint64]bool // connection ids
}

func newAuthenticator() *authenticator {
	return &authenticator{
		organSecret:  rand.Text(),
		systemSecret: rand.Text(),
		adminSecret:  rand.Text(),
		organs:       map[uint64]bool{},
	}
}

// Check runs on the connection's own goroutine, so it may not block.
func (a *authenticator) Check(c server.ClientAuthentication) bool {
	token := c.GetOpts().Token
	switch {
	case same(token, a.organSecret):
		return a.admitOrgan(c, account)
	case same(token, a.systemSecret):
		return a.admitOrgan(c, systemAccount)
	case a.refusing.Load():
		return false
	case same(token, a.adminSecret):
		return a.admit(c, account, "admin")
	case a.needsCertificate && verified(c.GetTLSConnectionState()) == nil:
		return false
	default:
		return a.admit(c, account, "")
	}
}

func (a *authenticator) admitOrgan(c server.ClientAuthentication, name string) bool {
	a.mu.Lock()
	a.organs[c.GetID()] = true
	a.mu.Unlock()
	return a.admit(c, name, "muster")
}

func (a *authenticator) admit(c server.ClientAuthentication, name, user string) bool {
	acc, err := a.lookup(name)
	if err != nil {
		return false
	}
	c.RegisterUser(&server.User{Username: user, Account: acc})
	return true
}

func (a *authenticator) isOrgan(id uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.organs[id]
}

func same(token, secret string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(secret)) == 1
}
