package broker

import (
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats-server/v2/server"
)

// Accounts of the server. Nodes, adapters and streams share one: publishing across
// accounts costs several times as much.
const (
	account       = "choria"
	systemAccount = "system"
)

// authenticator decides who may connect, as what, and what they may do. The organs of this
// process are known by a secret that never leaves it, and who may read the data directory
// by another; for everybody else there is the table of rules.
type authenticator struct {
	cfg     *Config
	tokens  *choria.TokenVerifier
	now     func() time.Time
	allowed allowance
	refused *refusals
	roles   atomic.Pointer[Roles] // those in force; cfg has the first

	organSecret  string
	systemSecret string
	adminSecret  string
	refusing     atomic.Bool
	lookup       func(name string) (*server.Account, error)

	mu     sync.Mutex
	organs map[uint64]bool // connection ids
}

func newAuthenticator(cfg *Config, o Options) *authenticator {
	a := &authenticator{
		cfg:          cfg,
		tokens:       o.Verifier.TokenVerifier(),
		now:          o.Now,
		allowed:      allowance{ingest: o.Ingest, private: o.Private, buckets: func() []string { return nil }},
		refused:      newRefusals(o.Log, o.Rejected, o.Now),
		organSecret:  rand.Text(),
		systemSecret: rand.Text(),
		adminSecret:  rand.Text(),
		organs:       map[uint64]bool{},
	}
	a.roles.Store(&cfg.Roles)
	return a
}

// Check runs on the connection's own goroutine, so it may not block.
func (a *authenticator) Check(c server.ClientAuthentication) bool {
	who := newCaller(c)
	g, err := a.decide(who)
	if err != nil {
		a.refused.refuse(err, who.remote(), who.name)
		return false
	}
	return a.admit(c, g)
}

// decide finds the first rule that applies.
func (a *authenticator) decide(who *caller) (grant, error) {
	for _, r := range rules {
		if r.applies(a, who) {
			return r.decide(a, who)
		}
	}
	return grant{}, errNoCredentials
}

func (a *authenticator) admit(c server.ClientAuthentication, g grant) bool {
	acc, err := a.lookup(g.account)
	if err != nil {
		return false
	}
	if g.organ {
		a.mu.Lock()
		a.organs[c.GetID()] = true
		a.mu.Unlock()
	}
	c.RegisterUser(&server.User{Username: g.user, Account: acc, Permissions: g.permissions})
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
