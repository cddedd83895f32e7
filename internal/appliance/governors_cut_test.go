package appliance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

const (
	governorNodes = 10
	governorRuns  = 100 // of each node
	governorSlots = 2
	// enterTimeout is how long Choria waits for the ack.
	enterTimeout = time.Second
)

// Errors of JetStream.
const (
	errFull      = 10077
	errNoMessage = 10037
)

// governorAnswer is an ack, or an answer of JetStream's API.
type governorAnswer struct {
	Sequence uint64 `json:"seq"`
	Success  bool   `json:"success"`
	Error    struct {
		Code int `json:"err_code"`
	} `json:"error"`
}

// ask sends a request and decodes the answer.
func (n *governorNode) ask(subject, body string) (a governorAnswer, err error) {
	m, err := n.Request(subject, []byte(body), enterTimeout)
	if err == nil {
		err = json.Unmarshal(m.Data, &a)
	}
	return a, err
}

// oracle counts the jobs that run.
type oracle struct {
	inside, most, started, failed, left atomic.Int64
}

// enter notes that a job begins.
func (o *oracle) enter() {
	o.started.Add(1)
	for now := o.inside.Add(1); ; {
		most := o.most.Load()
		if now <= most || o.most.CompareAndSwap(most, now) {
			return
		}
	}
}

// run has the watcher of a node run so many jobs, as Choria does: an attempt without an ack is over, and it enters
// again for the next one. Only a job that could not leave, because the connection was cut, leaves again.
func (n *governorNode) run(o *oracle, jobs int) {
	for done := 0; done < jobs; {
		a, err := n.ask("choria.governor.G1", n.watcher())
		if err != nil || a.Sequence == 0 {
			if err == nil && a.Error.Code != errFull {
				err = fmt.Errorf("error %d", a.Error.Code)
			}
			if err != nil {
				o.failed.Add(1)
			}
			time.Sleep(time.Duration(1+rand.IntN(5)) * time.Millisecond)
			continue
		}
		o.enter()
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		o.inside.Add(-1)
		for left := false; !left; {
			answer, err := n.ask("$JS.API.STREAM.MSG.DELETE.GOVERNOR_G1", deleteEntry(a.Sequence))
			left = err == nil && (answer.Success || answer.Error.Code == errNoMessage) // its answer was lost
		}
		o.left.Add(1)
		done++
	}
}

// TestGovernors_LeakNoSlot has ten nodes run a thousand jobs under a governor of two slots, while their connections
// are cut and the appliance is restarted: at no time do more than two jobs run, and no entry stays.
func TestGovernors_LeakNoSlot(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, "")
	cfg := testkit.Config(t, text)
	a := newAppliance(cfg)
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(context.Background()) }()
	cfg.Broker.Listen = a.BrokerAddress() // nodes find the next one there
	admin := adminJetStream(t, a, site).Conn()
	want(t, admin, "$JS.API.STREAM.CREATE.GOVERNOR_G1", createG, "")
	admin.Close()

	var nodes []*governorNode
	for i := range governorNodes {
		nodes = append(nodes, newGovernorNode(t, a, site, fmt.Sprintf("n%d.example.net", i)))
	}
	o := new(oracle)
	cuts := runJobs(t, o, nodes, func() {
		for restarts := range 3 {
			wait.Eventually(t, func() error {
				if left, next := o.left.Load(), int64(restarts+1)*200; left < next {
					return fmt.Errorf("%d of %d jobs are done", left, next)
				}
				return nil
			})
			if err := a.Close(context.Background()); err != nil {
				t.Error(err)
			}
			a = newAppliance(cfg)
			if err := a.Open(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	for _, n := range nodes { // what a cut has left behind is replaced when the watcher runs again
		n.run(o, 1)
	}
	t.Logf("%d jobs, %d attempts failed, %d cuts", o.started.Load(), o.failed.Load(), cuts)
	if most := o.most.Load(); most > governorSlots {
		t.Errorf("%d jobs ran at the same time", most)
	}
	if o.failed.Load() == 0 || cuts == 0 {
		t.Error("no attempt failed, so nothing was tested")
	}
	wantEntries(t, adminJetStream(t, a, site).Conn(), 0)
}

// runJobs has the nodes run their jobs, and cuts their connections meanwhile. It returns the number of cuts.
func runJobs(t *testing.T, o *oracle, nodes []*governorNode, meanwhile func()) (cuts int) {
	t.Helper()
	var running, cutting sync.WaitGroup
	for _, n := range nodes {
		running.Go(func() { n.run(o, governorRuns) })
	}
	ctx, stop := context.WithCancelCause(t.Context())
	cutting.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			nodes[rand.IntN(len(nodes))].cut()
			cuts++
		}
	})
	meanwhile()
	running.Wait()
	stop(errors.New("the jobs are done"))
	cutting.Wait()
	return cuts
}
