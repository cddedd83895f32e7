package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/link"
	"github.com/muster-appliance/muster/internal/testkit/oracle"
	"github.com/muster-appliance/muster/internal/testkit/proxy"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// member is a hub or an edge, which runs as a process that can be killed.
type member struct {
	t       *testing.T
	site    string
	address string // of its broker
	data    string // directory
	config  string
	process *process // the last one
	runs    bool
}

// start starts the process, unless it runs.
func (m *member) start() {
	m.t.Helper()
	if !m.runs {
		m.process, m.runs = startProcess(m.t, m.config), true
	}
}

// kill kills the process, if it runs.
func (m *member) kill() {
	if m.runs {
		m.process.kill()
		m.runs = false
	}
}

// restart ends the process in good order and starts it again.
func (m *member) restart() {
	m.t.Helper()
	if m.runs {
		m.process.terminate(m.t)
		m.runs = false
	}
	m.start()
}

// lastLog returns the end of the log.
func (m *member) lastLog() string {
	text := m.process.log.String()
	return fmt.Sprintf("log of %s:\n%s", m.site, text[max(0, len(text)-4000):])
}

// copies are the streams that edges forward in these tests, by name. The hub stores each in a stream of that name.
var copies = []string{contract.StreamRegistration, contract.StreamFleet, "APP"}

// edge is an edge with its link to the hub.
type edge struct {
	member
	link      *link.Link
	recorders []*oracle.Recorder // of copies
	rejects   *oracle.Recorder
	backup    string // directory; empty: none was made
	backedUp  time.Time
}

// sites are a hub and its edges. The first edge connects over TLS, the second one over WebSocket, and the third one
// over WebSocket through a proxy.
type sites struct {
	t         *testing.T
	authority *authority.Authority
	hub       member
	webSocket string // address of the hub
	edges     []*edge
	recorders []*oracle.Recorder // of copies, at the hub
	gaps      []oracle.Gap
}

// sitesOptions say how sites are made.
type sitesOptions struct {
	edges     int
	window    time.Duration // duplicate_window at the hub
	hub, edge string        // more configuration
}

// siteNames are the sites of edges.
var siteNames = []string{"ams", "fra", "lis"}

// newSites starts a hub and edges, and records what they store. All end with the test.
func newSites(t *testing.T, o sitesOptions) *sites {
	t.Helper()
	s := &sites{t: t, authority: authority.New(t, time.Now())}
	s.hub, s.webSocket = s.newMember("hub", "", ""), freeAddress(t)
	files := t.TempDir()
	s.authority.Files(files, nil, "hub.example.net")
	config := fmt.Sprintf("[broker.tls]\ncert = '%[1]s/cert.pem'\nkey = '%[1]s/key.pem'\nca = '%[1]s/ca.pem'\n"+
		"[broker.websocket]\nlisten = '%[2]s'\n[broker.sites]\n", files, s.webSocket)
	for _, name := range siteNames[:o.edges] {
		config += fmt.Sprintf("%s = 'edge-%s'\n", name, name)
	}
	window := fmt.Sprintf("duplicate_window = '%s'\n", o.window)
	config += "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n" + window + "[stream.MUSTER_FLEET]\n" + window +
		"[stream.APP]\nsubjects = 'choria.sites.*.app.>'\nallow_direct = true\nmax_msg_size = '32KiB'\n" + window + o.hub
	s.hub.configure(s.t, config)
	s.hub.start()
	for _, name := range siteNames[:o.edges] {
		s.edges = append(s.edges, s.newEdge(name, o.edge))
	}
	for _, stream := range copies {
		s.recorders = append(s.recorders, s.record("", stream, s.connectHub))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.hub.lastLog())
			for _, e := range s.edges {
				t.Logf("%s\n%+v", e.lastLog(), e.link.Counts())
			}
		}
	})
	return s
}

// newMember returns a member without a configuration.
func (s *sites) newMember(site, data, config string) member {
	s.t.Helper()
	return member{
		t: s.t, site: site, address: freeAddress(s.t), data: filepath.Join(s.t.TempDir(), "data"), config: config,
	}
}

// configure writes the configuration of a member.
func (m *member) configure(t *testing.T, more string) {
	t.Helper()
	m.config = writeConfig(t, fmt.Sprintf("identity = '%s.example.net'\nsite = '%s'\ndata_dir = '%s'\n"+
		"[console]\nlisten = '127.0.0.1:0'\n[fleet]\ndisconnect_grace = '1s'\n[broker]\nlisten = '%s'\n%s",
		m.site, m.site, m.data, m.address, more))
}

// forwardConfig is the configuration with which an edge forwards, with the keys that lead to the hub and the directory
// of its files.
const forwardConfig = `[stream.CHORIA_REGISTRATION]
max_msgs_per_subject = -1
[stream.APP]
subjects = "app.>"
duplicate_window = "1s"
[forward.hub]
%[1]s
heartbeat = "1s"
[forward.hub.tls]
cert = "%[2]s/cert.pem"
key = "%[2]s/key.pem"
ca = "%[2]s/ca.pem"
[forward.hub.stream.CHORIA_REGISTRATION]
mode = "all"
catchup = "all"
[forward.hub.stream.APP]
mode = "all"
`

// newWay makes the link of the next edge to the hub, and returns the keys with which the edge uses it.
func (s *sites) newWay() (l *link.Link, keys string) {
	s.t.Helper()
	target, keys := s.hub.address, "servers = 'tls://%s'"
	switch len(s.edges) {
	case 1:
		target, keys = s.webSocket, "servers = 'wss://%s/'"
	case 2:
		p := proxy.New(proxy.Options{User: "edge", Password: "secret"})
		s.t.Cleanup(p.Close)
		target, keys = p.Address(), "servers = 'wss://"+s.webSocket+"'\nproxy = 'http://edge:secret@%s'"
	}
	l, err := link.New(target)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(l.Close)
	return l, fmt.Sprintf(keys, l.Address())
}

// newEdge starts an edge with a link to the hub.
func (s *sites) newEdge(site, more string) *edge {
	s.t.Helper()
	l, way := s.newWay()
	files := s.t.TempDir()
	s.authority.Files(files, nil, "edge-"+site)
	e := &edge{member: s.newMember(site, "", ""), link: l}
	e.configure(s.t, fmt.Sprintf(forwardConfig, way, files)+more)
	e.start()
	connect := func() (*nats.Conn, error) { return nats.Connect(e.address, nats.NoReconnect()) }
	for _, stream := range copies {
		e.recorders = append(e.recorders, s.record(site, stream, connect))
	}
	e.rejects = s.record(site, contract.StreamRejected, connect)
	return e
}

// connectHub connects to the hub with administrator's rights.
func (s *sites) connectHub() (*nats.Conn, error) {
	token, err := os.ReadFile(filepath.Join(s.hub.data, "admin.token"))
	if err != nil {
		return nil, err
	}
	client := s.authority.Client(nil, "admin")
	client.Certificates = nil
	return nats.Connect(s.hub.address, nats.Token(string(token)), nats.Secure(client), nats.NoReconnect())
}

func (s *sites) record(site, stream string, connect func() (*nats.Conn, error)) *oracle.Recorder {
	r := oracle.Record(site, stream, connect)
	s.t.Cleanup(r.Stop)
	return r
}

// await waits until everything that is stored is recorded.
func await(t *testing.T, recorders ...*oracle.Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	for _, r := range recorders {
		if err := r.Await(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// backUp copies the data of an edge while it does not run.
func (s *sites) backUp(e *edge) {
	s.t.Helper()
	e.process.terminate(s.t)
	e.runs, e.backedUp, e.backup = false, time.Now(), filepath.Join(s.t.TempDir(), "backup")
	if err := os.CopyFS(e.backup, os.DirFS(e.data)); err != nil {
		s.t.Fatal(err)
	}
	e.start()
}

// restore kills an edge and replaces its data by those of the backup.
func (s *sites) restore(e *edge) {
	s.t.Helper()
	s.wipe(e, e.backedUp)
	if err := os.CopyFS(e.data, os.DirFS(e.backup)); err != nil {
		s.t.Fatal(err)
	}
	e.start()
}

// wipe kills an edge and deletes its data; what it stored before since is in the backup that replaces them.
func (s *sites) wipe(e *edge, since time.Time) {
	s.t.Helper()
	e.kill()
	s.gaps = append(s.gaps, oracle.Gap{Site: e.site, From: since, To: time.Now()})
	if err := os.RemoveAll(e.data); err != nil {
		s.t.Fatal(err)
	}
}

// recreate deletes a stream of the hub, and creates it again when the function that it returns is called. The links
// are cut before, so that the hub has stored nothing that is not recorded.
func (s *sites) recreate(stream int) (create func()) {
	s.t.Helper()
	for _, e := range s.edges {
		e.link.Cut()
	}
	await(s.t, s.recorders[stream])
	nc, err := s.connectHub()
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		s.t.Fatal(err)
	}
	info, err := js.StreamInfo(copies[stream])
	if err != nil {
		s.t.Fatal(err)
	}
	if err := js.DeleteStream(copies[stream]); err != nil {
		s.t.Fatal(err)
	}
	for _, e := range s.edges {
		e.link.Heal()
	}
	return func() {
		s.hub.start() // it may have been killed meanwhile
		nc, err := s.connectHub()
		if err != nil {
			s.t.Fatal(err)
		}
		defer nc.Close()
		js, err := nc.JetStream()
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := js.StreamInfo(copies[stream]); err == nil {
			return // a start of the hub has created it
		}
		if _, err := js.AddStream(&info.Config); err != nil {
			s.t.Fatal(err)
		}
	}
}

// check returns what is compared once everything is recorded.
func (s *sites) check() *oracle.Check {
	c := &oracle.Check{Gaps: s.gaps, Excused: s.rejected(), Foreign: func(m *oracle.Message) bool {
		// Events of the hub itself, and those that follow from a snapshot: after a wipe, an edge knows no nodes.
		id := m.Header.Get(contract.HeaderMsgID)
		return m.Site == "" || strings.HasPrefix(m.Subject, contract.SubjectFleet) && strings.Contains(id, "/snapshot/")
	}}
	// Several senders use the subject, so that the hub's last message there does not tell an edge that was killed, or
	// restored, what it has forwarded.
	c.Repeats = func(m *oracle.Message) bool { return strings.HasPrefix(m.Subject, sharedSubject) }
	for i := range copies {
		for _, e := range s.edges {
			c.Edges = append(c.Edges, e.recorders[i].Messages()...)
		}
		for _, m := range s.recorders[i].Messages() {
			m.Life = m.Life*len(copies) + i
			c.Hub = append(c.Hub, m)
		}
	}
	return c
}

// rejected returns whether the stream of rejected messages of an edge has a message.
func (s *sites) rejected() func(*oracle.Message) bool {
	have := map[string]bool{}
	key := func(subject string, data []byte) string { return subject + " " + string(data[:min(len(data), 64<<10)]) }
	for _, e := range s.edges {
		for _, m := range e.rejects.Messages() {
			have[key(m.Header.Get(contract.HeaderSubject), m.Data)] = true
		}
	}
	return func(m *oracle.Message) bool { return have[key(contract.SiteSubject(m.Site, m.Subject), m.Data)] }
}

// drain waits until the hub has everything, and the hub and the edges have the same view, and then compares all.
func (s *sites) drain(limit time.Duration) {
	s.t.Helper()
	started := time.Now()
	for {
		for _, e := range s.edges {
			await(s.t, e.recorders...)
			await(s.t, e.rejects)
		}
		await(s.t, s.recorders...)
		err := s.settled()
		if err == nil {
			break
		}
		if time.Since(started) > limit {
			s.t.Errorf("not drained after %s: %s", limit, err)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, problem := range s.check().Problems() {
		s.t.Error(problem)
	}
	s.t.Logf("drained in %s", time.Since(started).Round(time.Millisecond))
}
