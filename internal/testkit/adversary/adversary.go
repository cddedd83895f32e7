// Package adversary is an enrolled node that turns against its appliance, for tests. It has a valid
// certificate and a valid token, and uses them for everything that a node or client can try: over real
// TLS connections it publishes, subscribes, connects and asks the console, in rotation, until it is
// stopped. It counts what it did, so that a test can prove that each attack was made. It does not judge
// what became of the appliance. Only tests import it.
package adversary

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/deaf"
	"github.com/nats-io/nats.go"
)

// Name is the adversary's identity.
const Name = "adversary.example.net"

// pause follows an attack that failed: the appliance may be closed.
const pause = 10 * time.Millisecond

// Options are what an adversary knows and may use. Console, Captured and Permissions may be empty.
type Options struct {
	Broker      string        // host and port, or a NATS URL
	Console     string        // host and port
	Site        *enroll.Site  // enrolls the adversary; it has an issuer
	Victims     []string      // identities of honest nodes; at least one
	Captured    func() []byte // returns a message of an honest node, to be replayed; nil: none yet
	Permissions []string      // of the adversary's client token
	Flood       int           // messages in each flood; 0: 500
	Only        string        // the only attack; empty: all
}

// Adversary attacks between Start and Stop.
type Adversary struct {
	tb      testing.TB
	o       Options
	broker  string // host and port
	node    simnode.Credentials
	client  simnode.Credentials
	rsa     simnode.Credentials
	bombs   []Bomb
	chains  []string // certificates that cost time to verify
	attacks []attack

	cancel  context.CancelFunc
	wg      sync.WaitGroup
	conns   map[string]*nats.Conn // that attacks share, by role
	deaf    []*deaf.Conn          // connections that read nothing, those of floodInbox that are open
	held    []io.Closer           // connections that stay open until the same attack is made again
	victims int                   // victims so far; they take turns

	failures map[string]error // the last of each attack

	mu     sync.Mutex
	counts map[string]uint64 // actions by attack, guarded by mu
	rounds int               // rotations that are complete, guarded by mu
}

// attack is one kind of attack. It returns how many hostile actions the appliance's machine accepted:
// messages and requests that were written to a connection, or connections that were made.
type attack struct {
	name string
	run  func(ctx context.Context) (actions int, err error)
}

// New returns an adversary that the site has enrolled. It makes keys and bombs, which takes a moment.
func New(tb testing.TB, o Options) *Adversary {
	tb.Helper()
	a := &Adversary{
		tb: tb, o: o, broker: strings.TrimPrefix(o.Broker, "nats://"), bombs: Bombs(),
		conns: map[string]*nats.Conn{}, counts: map[string]uint64{}, cancel: func() {},
		failures: map[string]error{},
	}
	if a.o.Flood == 0 {
		a.o.Flood = 500
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	credentials := simnode.NodeOptions{Site: o.Site, RSA: key}
	if a.rsa, err = credentials.NewCredentials(Name, choria.V1); err != nil {
		tb.Fatal(err)
	}
	if a.node, err = credentials.NewCredentials(Name, choria.V2); err != nil {
		tb.Fatal(err)
	}
	if a.client, err = o.newClient(); err != nil {
		tb.Fatal(err)
	}
	a.chains = chains(tb, a.rsa.Certificate)
	a.attacks = slices.DeleteFunc(a.all(), func(at attack) bool { return o.Only != "" && at.name != o.Only })
	return a
}

// newClient returns the token of a client with the permissions in o.
func (o Options) newClient() (c simnode.Credentials, err error) {
	text, err := os.ReadFile(filepath.Join(o.Site.Dir, "issuer.seed"))
	if err != nil {
		return c, err
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return c, errors.Join(errors.New("the site has no issuer"), err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return c, err
	}
	permissions := map[string]bool{}
	for _, p := range o.Permissions {
		permissions[p] = true
	}
	claims := choria.Claims{
		Purpose: choria.PurposeClient, CallerID: "choria=adversary", OrgUnit: "choria",
		PublicKey: hex.EncodeToString(public), Permissions: permissions,
	}
	c.Key = private
	c.Token, err = choria.IssueToken(claims, ed25519.NewKeyFromSeed(seed), time.Now(), time.Hour)
	return c, err
}

// Start begins to attack. The adversary stops at the latest when the test ends.
func (a *Adversary) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.tb.Cleanup(a.Stop)
	a.wg.Go(func() {
		defer a.release()
		for ctx.Err() == nil {
			a.rotate(ctx)
		}
	})
}

// rotate makes every attack once.
func (a *Adversary) rotate(ctx context.Context) {
	for _, c := range a.held {
		_ = c.Close()
	}
	a.held = nil
	for _, at := range a.attacks {
		if ctx.Err() != nil {
			return
		}
		n, err := at.run(ctx)
		if err != nil { // the appliance refuses what it refuses; Counts shows what got through
			a.failures[at.name] = err
			time.Sleep(pause)
		}
		a.mu.Lock()
		a.counts[at.name] += uint64(n)
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rounds++
}

// Stop ends the attacks and closes the adversary's connections. It may be called twice.
func (a *Adversary) Stop() {
	a.cancel()
	a.wg.Wait()
}

// release closes all connections, and logs the last failure of each attack.
func (a *Adversary) release() {
	for attack, err := range a.failures {
		a.tb.Logf("adversary: %s: %.100v", attack, err)
	}
	for _, c := range a.held {
		_ = c.Close()
	}
	for _, nc := range a.conns {
		nc.Close()
	}
}

// Rounds returns how many rotations through all attacks are complete.
func (a *Adversary) Rounds() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rounds
}

// Counts returns the number of hostile actions by attack; every attack is a key.
func (a *Adversary) Counts() map[string]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := maps.Clone(a.counts)
	for _, at := range a.attacks {
		counts[at.name] += 0
	}
	return counts
}

// victim returns one of the honest nodes; they take turns.
func (a *Adversary) victim() string {
	a.victims++
	return a.o.Victims[a.victims%len(a.o.Victims)]
}

// connection returns the open connection of a role, and makes one if there is none.
func (a *Adversary) connection(role string, c simnode.Credentials) (*nats.Conn, error) {
	if nc := a.conns[role]; nc != nil && !nc.IsClosed() {
		return nc, nil
	}
	nc, err := nats.Connect("nats://"+a.broker, append(c.Options(Name, a.o.Site.Roots()), quiet()...)...)
	a.conns[role] = nc
	return nc, err
}

// quiet returns the options of connections that the appliance may close at any time.
func quiet() []nats.Option {
	return []nats.Option{
		nats.NoReconnect(), nats.Timeout(5 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
}

// hold keeps a connection open until the next rotation.
func (a *Adversary) hold(c net.Conn) { a.held = append(a.held, c) }
