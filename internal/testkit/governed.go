package testkit

import (
	"context"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

// Governor is the governor of Governed nodes. CreateGovernor is what `choria governor add G1 2 10m` sends to create
// it: Choria 0.29 with jsm.go 0.4.
const (
	GovernorStream  = "GOVERNOR_G1"
	GovernorSubject = "choria.governor.G1"
	GovernorSlots   = 2
	CreateGovernor  = `{"name":"GOVERNOR_G1","description":"Concurrency Governor G1","subjects":["choria.governor.G1"],` +
		`"retention":"limits","max_consumers":-1,"max_msgs_per_subject":-1,"max_msgs":2,"max_bytes":-1,` +
		`"max_age":600000000000,"max_msg_size":-1,"storage":"file","discard":"new","num_replicas":1,"sealed":false,` +
		`"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"allow_direct":false,"mirror_direct":false,` +
		`"consumer_limits":{}}`
)

// Governed is a node that runs jobs under a governor, as a watcher of Choria does. It reconnects.
type Governed struct {
	*nats.Conn
	Identity string

	mu     sync.Mutex
	socket net.Conn
}

// NewGoverned connects a node to a broker, with a token of the site. The connection is closed when the test ends.
func NewGoverned(tb testing.TB, address string, site *enroll.Site, identity string) *Governed {
	tb.Helper()
	n := &Governed{Identity: identity}
	c := IssueToken(tb, site, choria.Claims{
		Purpose: choria.PurposeServer, OrgUnit: "choria", Identity: identity, Collectives: []string{"choria"},
		Permissions: map[string]bool{"streams": true, "governor": true},
	})
	var err error
	n.Conn, err = nats.Connect(address, append(c.Options(identity, site.Roots()),
		nats.CustomInboxPrefix(fmt.Sprintf("choria.reply.%x", md5.Sum([]byte(identity)))),
		nats.SetCustomDialer(n), nats.IgnoreAuthErrorAbort(), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(n.Close)
	return n
}

// IssueToken returns credentials with a token of the site, valid for an hour.
func IssueToken(tb testing.TB, site *enroll.Site, claims choria.Claims) (c simnode.Credentials) {
	tb.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	claims.PublicKey = hex.EncodeToString(public)
	text, err := os.ReadFile(filepath.Join(site.Dir, "issuer.seed"))
	if err != nil {
		tb.Fatal(err)
	}
	seed, err := hex.DecodeString(string(text))
	if err != nil {
		tb.Fatal(err)
	}
	c.Key = key
	if c.Token, err = choria.IssueToken(claims, ed25519.NewKeyFromSeed(seed), time.Now(), time.Hour); err != nil {
		tb.Fatal(err)
	}
	return c
}

// Dial makes the node a nats.CustomDialer.
func (n *Governed) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.socket = conn
	return conn, err
}

// Cut ends the connection without a word.
func (n *Governed) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.socket != nil {
		_ = n.socket.Close()
	}
}

// Watcher is the name under which a watcher of the node enters.
func (n *Governed) Watcher() string { return "Auto Agent  machine#watcher @ " + n.Identity }

// DeleteEntry is what Choria sends to leave a governor, in the form of jsm.go.
func DeleteEntry(sequence uint64) string { return fmt.Sprintf(`{"seq":%d,"no_erase":true}`, sequence) }

// governorAnswer is an ack, or an answer of JetStream's API.
type governorAnswer struct {
	Sequence uint64 `json:"seq"`
	Success  bool   `json:"success"`
	Error    struct {
		Code int `json:"err_code"`
	} `json:"error"`
}

// ask sends a request and decodes the answer. Choria waits as long for an ack.
func (n *Governed) ask(subject, body string) (a governorAnswer, err error) {
	m, err := n.Request(subject, []byte(body), time.Second)
	if err == nil {
		err = json.Unmarshal(m.Data, &a)
	}
	return a, err
}

// Jobs counts the jobs of Governed nodes.
type Jobs struct {
	Started, Done atomic.Int64
	Failed        atomic.Int64 // attempts without a slot, although one may have been free
	Most          atomic.Int64 // jobs that ran at the same time
	running       atomic.Int64
}

// start notes that a job begins.
func (j *Jobs) start() {
	j.Started.Add(1)
	for now := j.running.Add(1); ; {
		most := j.Most.Load()
		if now <= most || j.Most.CompareAndSwap(most, now) {
			return
		}
	}
}

// Run has the watcher of the node run so many jobs, as Choria does: an attempt without an ack is over, and it enters
// again for the next one. Only a job that could not leave, because the connection was cut, leaves again.
func (n *Governed) Run(j *Jobs, count int) {
	const full, noMessage = 10077, 10037
	for done := 0; done < count; {
		a, err := n.ask(GovernorSubject, n.Watcher())
		if err != nil || a.Sequence == 0 {
			if err != nil || a.Error.Code != full {
				j.Failed.Add(1)
			}
			time.Sleep(time.Duration(1+mathrand.IntN(5)) * time.Millisecond)
			continue
		}
		j.start()
		time.Sleep(time.Duration(mathrand.IntN(2000)) * time.Microsecond)
		j.running.Add(-1)
		for left := false; !left; {
			answer, err := n.ask("$JS.API.STREAM.MSG.DELETE."+GovernorStream, DeleteEntry(a.Sequence))
			left = err == nil && (answer.Success || answer.Error.Code == noMessage) // its answer was lost
			if !left {
				time.Sleep(5 * time.Millisecond) // without a connection a request may fail at once
			}
		}
		j.Done.Add(1)
		done++
	}
}

// RunCut has each node run so many jobs, and cuts their connections meanwhile. Then each runs one more, which
// replaces what a cut has left behind. It returns the number of cuts.
func (j *Jobs) RunCut(nodes []*Governed, count int, meanwhile func()) (cuts int) {
	var running, cutting sync.WaitGroup
	for _, n := range nodes {
		running.Go(func() { n.Run(j, count) })
	}
	ctx, stop := context.WithCancel(context.Background())
	cutting.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(time.Duration(mathrand.IntN(20)) * time.Millisecond)
			nodes[mathrand.IntN(len(nodes))].Cut()
			cuts++
		}
	})
	meanwhile()
	running.Wait()
	stop()
	cutting.Wait()
	for _, n := range nodes {
		n.Run(j, 1)
	}
	return cuts
}

// Check reports when more jobs ran than the governor has slots, and when nothing was tested.
func (j *Jobs) Check(tb testing.TB, cuts int) {
	tb.Helper()
	tb.Logf("%d jobs, %d attempts failed, %d cuts", j.Started.Load(), j.Failed.Load(), cuts)
	if most := j.Most.Load(); most > GovernorSlots {
		tb.Errorf("%d jobs ran at the same time", most)
	}
	if j.Failed.Load() == 0 || cuts == 0 {
		tb.Errorf("%d attempts failed in %d cuts, so nothing was tested", j.Failed.Load(), cuts)
	}
}
