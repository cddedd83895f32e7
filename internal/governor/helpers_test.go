package governor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	stream  = "GOVERNOR_G"
	subject = "choria.governor.G"
	prefix  = "muster.write.token."
	watcher = "Auto Agent  m#w @ n1"
	full    = `{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},` +
		`"stream":"GOVERNOR_G","seq":0}`
)

// stored is a message of a fakeStream.
type stored struct {
	sequence uint64
	header   nats.Header
	data     string
}

// fakeStream is the stream of a governor, whose acks a test can delay. It answers what the Gate asks JetStream's
// API.
type fakeStream struct {
	mu          sync.Mutex
	beforeStore func() // called before a message is stored; nil: not
	beforeAck   func() // called before its ack is sent; nil: not
	slots       int
	last        uint64
	messages    []stored
	failing     bool // requests to the API fail
}

// receive stores a message and acknowledges it.
func (f *fakeStream) receive(m *nats.Msg) {
	f.mu.Lock()
	beforeStore, beforeAck := f.beforeStore, f.beforeAck
	f.mu.Unlock()
	if beforeStore != nil {
		beforeStore()
	}
	f.mu.Lock()
	answer := []byte(full)
	if len(f.messages) < f.slots {
		f.last++
		f.messages = append(f.messages, stored{f.last, m.Header, string(m.Data)})
		answer = fmt.Appendf(nil, `{"stream":"GOVERNOR_G", "seq":%d}`, f.last)
	}
	f.mu.Unlock()
	if beforeAck != nil {
		beforeAck()
	}
	_ = m.Respond(answer) // fails once the test is over
}

// request answers a request to JetStream's API.
func (f *fakeStream) request(_ context.Context, operation string, data []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing {
		return nil, context.DeadlineExceeded
	}
	var request struct {
		Sequence uint64 `json:"seq"`
		Next     string `json:"next_by_subj"`
	}
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(f.messages, func(m stored) bool {
		return m.sequence == request.Sequence || request.Next != "" && m.sequence > request.Sequence
	})
	switch {
	case operation == "STREAM.NAMES":
		return []byte(`{"total":1,"streams":["GOVERNOR_G"]}`), nil
	case i < 0:
		return []byte(`{"error":{"code":404,"err_code":10037,"description":"no message found"}}`), nil
	case operation == "STREAM.MSG.DELETE."+stream:
		f.messages = slices.Delete(f.messages, i, i+1)
		return []byte(`{"success":true}`), nil
	}
	m := f.messages[i]
	text := "NATS/1.0\r\n"
	for key, values := range m.header {
		text += key + ": " + values[0] + "\r\n"
	}
	message := map[string]any{"seq": m.sequence, "hdrs": []byte(text + "\r\n"), "data": []byte(m.data)}
	return json.Marshal(map[string]any{"message": message})
}

// sequences returns what is stored.
func (f *fakeStream) sequences() []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []uint64{}
	for _, m := range f.messages {
		all = append(all, m.sequence)
	}
	return all
}

// delay sets what is called before messages are stored and before acks are sent; nil: nothing.
func (f *fakeStream) delay(beforeStore, beforeAck func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beforeStore, f.beforeAck = beforeStore, beforeAck
}

// fail makes requests to the API fail, or not.
func (f *fakeStream) fail(failing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = failing
}

// wants waits until exactly these sequences are stored.
func (f *fakeStream) wants(t *testing.T, want ...uint64) {
	t.Helper()
	wait.Eventually(t, func() error {
		if have := f.sequences(); !slices.Equal(have, want) {
			return fmt.Errorf("entries %d are stored, want %d", have, want)
		}
		return nil
	})
}

// setup is a broker with a fakeStream and a Gate.
type setup struct {
	t      *testing.T
	broker *broker.Broker
	stream *fakeStream
	gate   *Gate
}

// open runs a Gate before a governor with so many slots. All connections are nodes, and named as they like.
func open(t *testing.T, slots int, edit func(*Options)) *setup {
	t.Helper()
	cfg := broker.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	s := &setup{t: t, stream: &fakeStream{slots: slots}}
	s.broker = broker.New(cfg, broker.DefaultJetStream(), broker.Options{
		Name: "broker.test", StoreDir: t.TempDir(), Now: time.Now,
		Verifier: choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{})),
		Log:      hclog.NewNullLogger(),
		Intakes:  []broker.Intake{{Name: "g", Subjects: []string{contract.SubjectsGovernor}, Replies: true}},
	})
	if err := s.broker.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.broker.Close(context.Background()) })
	if err := s.broker.Accept(); err != nil {
		t.Fatal(err)
	}
	nc, err := s.broker.Connect("stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err := nc.Subscribe(prefix+subject, s.stream.receive); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	s.openGate(edit)
	return s
}

// openGate opens a Gate, as a start of the appliance does.
func (s *setup) openGate(edit func(*Options)) {
	s.t.Helper()
	o := Options{
		Prefix: prefix, Account: broker.Account, Server: s.broker.ServerID(),
		Dial: func(receiver inproc.Receiver) (*inproc.Conn, error) {
			return s.broker.DialIntake("g", "g", []string{contract.SubjectsGovernor}, receiver)
		},
		Connect: s.broker.Connect, Request: s.stream.request, IsOpen: s.broker.IsOpen,
		IsNode: func(uint64) bool { return true },
		Now:    time.Now, Log: hclog.NewNullLogger(),
	}
	if edit != nil {
		edit(&o)
	}
	s.gate = New(o)
	if err := s.gate.Open(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.gate.Close(context.Background()) })
}

// connect connects as a node.
func (s *setup) connect(identity string) *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect(s.broker.Address(), nats.UserInfo(identity, "x"), nats.NoReconnect())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// enter asks for a slot, and returns the sequence or the code of the error.
func (s *setup) enter(nc *nats.Conn, name string) (sequence uint64, code int) {
	s.t.Helper()
	m, err := nc.Request(subject, []byte(name), wait.Limit)
	if err != nil {
		s.t.Fatal(err)
	}
	var a ack
	if err := json.Unmarshal(m.Data, &a); err != nil {
		s.t.Fatal(err)
	}
	if a.Error != nil {
		return 0, a.Error.ErrorCode
	}
	return a.Sequence, 0
}

// mustEnter asks for a slot, and fails unless the entry has that sequence.
func (s *setup) mustEnter(nc *nats.Conn, name string, want uint64) {
	s.t.Helper()
	if sequence, code := s.enter(nc, name); sequence != want {
		s.t.Fatalf("entered as %d with error %d, want %d", sequence, code, want)
	}
}

// end ends a connection, and waits until the server knows.
func (s *setup) end(nc *nats.Conn) {
	s.t.Helper()
	id, err := nc.GetClientID()
	if err != nil {
		s.t.Fatal(err)
	}
	nc.Close()
	wait.Eventually(s.t, func() error {
		if s.broker.IsOpen(id) {
			return fmt.Errorf("connection %d is open", id)
		}
		return nil
	})
}

// removed returns how many entries the Gate has removed for a reason.
func (s *setup) removed(reason string) int { return s.value("muster_governor_removed_total", reason) }

// value returns the value of a metric with a label.
func (s *setup) value(metric, label string) int {
	s.t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.gate.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == metric && m.GetLabel()[0].GetValue() == label {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	s.t.Fatalf("there is no metric %s of %q", metric, label)
	return 0
}
