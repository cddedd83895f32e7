package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/adversary"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// cappedMemory is the memory that an appliance has in these tests, in bytes.
const cappedMemory = 512 << 20

// cappedConfig has the values that are the defaults in a control group with that memory, and indexed facts.
const cappedConfig = "max_unauthenticated = 512\nmax_connections_per_identity = 8\n" +
	"[adapter.registration]\nbuffer = '128MiB'\n" +
	"[fleet]\nindex = ['os.name', 'os', 'name', 'a.a']\n"

// startCapped starts an appliance that has cappedMemory.
func startCapped(t *testing.T, config string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "run", "--config", config)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", maxData, cappedMemory))
	return runProcess(t, cmd)
}

// stillRuns fails the test if the process has ended.
func (p *process) stillRuns(t *testing.T, what string) {
	t.Helper()
	select {
	case <-p.ended:
		log := p.log.String()
		t.Fatalf("the process ended: %s\n%s", what, log[:min(len(log), 3000)])
	default:
	}
}

// TestRun_BombsFitTheMemory sends and stores everything that is small but costs a careless reader much,
// asks for it, and starts again with it.
func TestRun_BombsFitTheMemory(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("takes half a minute of processor time; set " + longTests)
	}
	config := labConfig(t, t.TempDir(), cappedConfig)
	p := startCapped(t, config)
	nodes := sendBombs(t, p)
	nodes = append(nodes, storeBombs(t, p)...)
	for _, when := range []string{"first", "after a restart"} {
		awaitNodes(t, p, len(nodes))
		failures := askAll(p, nodes)
		p.stillRuns(t, when)
		if len(failures) > 0 {
			t.Errorf("%s: %s", when, strings.Join(failures, "\n"))
		}
		var ready struct{ Ready bool }
		if getJSON(t, p.console+"/readyz", &ready); !ready.Ready {
			t.Errorf("%s: not ready", when)
		}
		p.terminate(t)
		p = startCapped(t, config)
	}
	awaitNodes(t, p, len(nodes))
}

// TestRun_ReadersOfAnOwnInboxFitTheMemory has a node that publishes to connections of its own which read
// nothing.
func TestRun_ReadersOfAnOwnInboxFitTheMemory(t *testing.T) {
	if !long() {
		t.Skip("takes ten seconds of processor time; set " + longTests)
	}
	site, config := siteConfig(t, cappedConfig)
	p := startCapped(t, config)
	a := newAdversary(t, p, site, "readers of an own inbox")
	a.Start()
	awaitRounds(t, p, a, 3)
	a.Stop()
	p.terminate(t)
	if !strings.Contains(p.log.String(), "reason=max-total-backlog") {
		t.Errorf("%s", p.log)
	}
}

// sendBombs publishes every bomb as a registration of a node of its own, twice, so that there is a
// difference, and returns the nodes.
func sendBombs(t *testing.T, p *process) (nodes []string) {
	t.Helper()
	nc, err := nats.Connect(p.broker)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for i, b := range adversary.Bombs() {
		node := fmt.Sprintf("sent%d", i)
		for n := range 2 {
			id := fmt.Sprintf("%032d", 10*i+n)
			raw, err := choria.NewRegistration(id, node, "mcollective", time.Now(), b.Body).EncodeV1(nil, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Publish(testkit.Subject, raw); err != nil {
				t.Fatalf("%s, %d bytes: %v", b.Name, len(raw), err)
			}
		}
		nodes = append(nodes, node)
	}
	if err := nc.FlushTimeout(wait.Limit); err != nil {
		t.Fatal(err)
	}
	return nodes
}

// storeBombs stores messages that no adapter would store, two of each, on the subjects with the write
// token, and returns their nodes.
func storeBombs(t *testing.T, p *process) (nodes []string) {
	t.Helper()
	js := jetStream(t, p.broker)
	token, err := os.ReadFile(filepath.Join(loggedValue(t, p.log, "data"), "write.token"))
	if err != nil {
		t.Fatal(err)
	}
	store := func(subject string, header nats.Header, data []byte) {
		t.Helper()
		m := &nats.Msg{Subject: contract.WritePrefix(string(token)) + subject, Header: header, Data: data}
		ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
		defer cancel()
		if _, err := js.PublishMsg(ctx, m); err != nil {
			p.stillRuns(t, "while messages were stored")
			t.Fatalf("%s, %d bytes: %v", subject, len(data), err)
		}
	}
	const payload = 1<<20 - 1000 // for the data, beside usual headers
	add := func(header nats.Header, data []byte) {
		node := fmt.Sprintf("stored%d", len(nodes))
		nodes = append(nodes, node)
		all := nats.Header{
			contract.HeaderSender: {node}, contract.HeaderSite: {"lab"},
			contract.HeaderReceived: {time.Now().UTC().Format(time.RFC3339Nano)},
		}
		for key, values := range header {
			all[key] = values
		}
		for range 2 { // for a difference
			store(contract.SubjectNodeMetadata+node, all, data[:min(len(data), payload-len(all.Get("X")))])
		}
	}
	for _, content := range adversary.Contents() {
		add(nats.Header{contract.HeaderContent: {choria.ContentInventory}}, content)
		add(nats.Header{contract.HeaderContent: {choria.ContentFile}}, content)
	}
	for _, b := range adversary.Bombs() {
		m := choria.Message{Sender: "x", ID: "1", Time: time.Now(), Body: b.Body}
		add(nil, m.AppendOutput(nil))
	}
	add(nats.Header{"X": {strings.Repeat("x", 60_000)}}, []byte("{}"))
	storeEvents(t, store)
	return nodes
}

// storeEvents stores large events, which the fleet view reads when it starts.
func storeEvents(t *testing.T, store func(subject string, header nats.Header, data []byte)) {
	t.Helper()
	for n := range 300 {
		event, err := json.Marshal(map[string]string{
			"event": "storm", "site": fmt.Sprintf("site%d", n), "storm": "1", "reason": strings.Repeat("<", 150_000),
		})
		if err != nil {
			t.Fatal(err)
		}
		store(fmt.Sprintf("%sstorm.site%d", contract.SubjectFleetSite, n), nil, event)
	}
	store(contract.SubjectFleetSite+"storm.deep", nil, []byte(strings.Repeat("[", 1_000_000)))
}

// awaitNodes waits until so many nodes are in the view.
func awaitNodes(t *testing.T, p *process, count int) {
	t.Helper()
	wait.Eventually(t, func() error {
		p.stillRuns(t, "while registrations were read")
		if s := summary(t, p.console); s.Nodes < count {
			return fmt.Errorf("%d of %d nodes", s.Nodes, count)
		}
		return nil
	})
}

// askAll asks for everything about the nodes, four requests at a time, and returns what failed.
func askAll(p *process, nodes []string) (failures []string) {
	var paths []string
	for _, all := range []string{
		"/api/v1/nodes?format=inventory", "/api/v1/nodes?limit=1000", "/api/v1/nodes?format=csv",
		"/api/v1/nodes?format=jsonl", "/api/v1/events?limit=10000", "/api/v1/events?after=0&limit=10000",
		"/api/v1/rejected", "/metrics", "/jsz?consumers=1&config=1",
	} {
		paths = append(paths, all, all, all, all)
	}
	for _, node := range nodes {
		paths = append(paths, "/api/v1/nodes/"+node, "/api/v1/nodes/"+node+"/diff")
	}
	work := make(chan string)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 4 {
		wg.Go(func() {
			for path := range work {
				if err := ask(p.console + path); err != nil {
					mu.Lock()
					failures = append(failures, path+": "+err.Error())
					mu.Unlock()
				}
			}
		})
	}
	for _, path := range paths {
		work <- path
	}
	close(work)
	wg.Wait()
	return failures
}

// ask reads the answer of a URL.
func ask(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
