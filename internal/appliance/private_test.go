package appliance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// privateStreams are the default private streams, each with its public subject.
var privateStreams = map[string]string{
	contract.StreamRegistration: "choria.node_metadata.>",
	contract.StreamRejected:     "muster.rejected.>",
	contract.StreamFleet:        "muster.fleet.>",
	contract.StreamAudit:        "muster.audit.>",
	contract.StreamAdvisories:   "choria.stream.input.registration_advisories",
}

// writePrefix returns what precedes the subjects to which the private streams of an appliance listen.
func writePrefix(t *testing.T, a *appliance.Appliance) string {
	t.Helper()
	return contract.WritePrefix(writeToken(t, a))
}

func writeToken(t *testing.T, a *appliance.Appliance) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(a.DataDir(), "write.token"))
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// raw sends a request to JetStream's API past the service, and decodes the answer.
func raw(t *testing.T, a *appliance.Appliance, operation string, data []byte, answer any) {
	t.Helper()
	nc, err := a.ConnectSystem()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m, err := nc.RequestMsg(&nats.Msg{
		Subject: contract.SubjectRawAPI + operation, Data: data,
		Header: nats.Header{"Nats-Request-Info": {`{"acc":"choria"}`}},
	}, wait.Limit)
	if err == nil && bytes.Contains(m.Data, []byte(`"error"`)) {
		err = errors.New(string(m.Data))
	}
	if err == nil {
		err = json.Unmarshal(m.Data, answer)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rawConfig returns the configuration of a stream, as JetStream has it.
func rawConfig(t *testing.T, a *appliance.Appliance, stream string) jetstream.StreamConfig {
	t.Helper()
	var info jetstream.StreamInfo
	raw(t, a, "STREAM.INFO."+stream, nil, &info)
	return info.Config
}

// rawUpdate edits the configuration of a stream, as JetStream has it.
func rawUpdate(t *testing.T, a *appliance.Appliance, stream string, edit func(*jetstream.StreamConfig)) {
	t.Helper()
	cfg := rawConfig(t, a, stream)
	edit(&cfg)
	data, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	raw(t, a, "STREAM.UPDATE."+stream, data, new(jetstream.StreamInfo))
}

// register publishes so many registrations of a node, and waits until the adapter has their outcome.
func register(t *testing.T, a *appliance.Appliance, sender string, count int) {
	t.Helper()
	nc := testkit.Connect(t, a)
	before := a.Stats()["registration"].Received
	for range count {
		_, raw := testkit.Registration(t, sender, int(time.Now().UnixNano()%1e9), 10)
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", before+uint64(count))
}

func wantMessages(t *testing.T, js jetstream.JetStream, stream string, want uint64) {
	t.Helper()
	wait.Eventually(t, func() error {
		s, err := js.Stream(t.Context(), stream)
		if err != nil {
			return err
		}
		if have := s.CachedInfo().State.Msgs; have != want {
			return fmt.Errorf("%s has %d messages, want %d", stream, have, want)
		}
		return nil
	})
}

// TestPrivateStreams_ReadersSeePublicSubjects asks everything that readers ask, also under the domain.
func TestPrivateStreams_ReadersSeePublicSubjects(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, keepAll+"[jetstream]\ndomain = 'hub'\n[fleet]\nadvisories = true\n")
	register(t, a, "web1.example.net", 2)
	nc := testkit.Connect(t, a)
	domain, err := jetstream.NewWithDomain(nc, "hub")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name, js := range map[string]jetstream.JetStream{"plain": plain, "domain": domain} {
		t.Run(name, func(t *testing.T) {
			for stream, subject := range privateStreams {
				s, err := js.Stream(t.Context(), stream)
				if err != nil {
					t.Fatal(err)
				}
				cfg := s.CachedInfo().Config
				if !slices.Equal(cfg.Subjects, []string{subject}) || cfg.SubjectTransform != nil {
					t.Errorf("%s: %v %v", stream, cfg.Subjects, cfg.SubjectTransform)
				}
				published := strings.Replace(subject, ">", "x", 1)
				if found, err := js.StreamNameBySubject(t.Context(), published); err != nil || found != stream {
					t.Errorf("%s is stored by %q: %v", published, found, err)
				}
			}
			wantReads(t, js)
		})
	}
	var listed struct {
		Streams []struct{ Config jetstream.StreamConfig }
	}
	testkit.GetJSON(t, a, "/api/v1/streams", &listed)
	for _, s := range listed.Streams {
		if strings.HasPrefix(strings.Join(s.Config.Subjects, " "), "muster.write.") {
			t.Errorf("the API shows %v", s.Config)
		}
	}
}

// wantReads reads the registrations of web1.example.net in every way.
func wantReads(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	const subject = "choria.node_metadata.web1.example.net"
	names := map[string]bool{}
	for info := range js.ListStreams(t.Context(), jetstream.WithStreamListSubject(subject)).Info() {
		names[info.Config.Name+" "+strings.Join(info.Config.Subjects, " ")] = true
	}
	if !names["CHORIA_REGISTRATION choria.node_metadata.>"] || len(names) != 1 {
		t.Errorf("streams of the subject: %v", names)
	}
	all := 0
	for range js.ListStreams(t.Context()).Info() {
		all++
	}
	named := 0
	for range js.StreamNames(t.Context()).Name() {
		named++
	}
	if all < len(privateStreams) || named != all {
		t.Errorf("%d streams, %d names", all, named)
	}
	s, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("choria.node_metadata.>"))
	if err != nil || info.State.Subjects[subject] != 2 {
		t.Errorf("%v: %v", info, err)
	}
	if m, err := s.GetLastMsgForSubject(t.Context(), subject); err != nil || m.Subject != subject {
		t.Errorf("%v: %v", m, err)
	}
	consumer, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{FilterSubject: subject})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(2, jetstream.FetchMaxWait(wait.Limit))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for m := range batch.Messages() {
		if read++; m.Subject() != subject {
			t.Errorf("read %s", m.Subject())
		}
	}
	if read != 2 {
		t.Errorf("read %d", read)
	}
}

// TestPrivateStreams_AdministratorChangesThem edits, deletes, creates, backs up and restores the stream of
// registrations with the usual requests. It goes on storing.
func TestPrivateStreams_AdministratorChangesThem(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, keepAll)
	js := testkit.JetStream(t, a)
	prefix := writePrefix(t, a)
	wantPrivate := func() {
		t.Helper()
		cfg := rawConfig(t, a, contract.StreamRegistration)
		if len(cfg.Subjects) == 0 || cfg.Subjects[0] != prefix+"choria.node_metadata.>" {
			t.Fatalf("the stream listens to %v", cfg.Subjects)
		}
	}
	wantPrivate()
	s, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Description = "edited"
	cfg.Subjects = append(cfg.Subjects, "cmdb.>")
	updated, err := js.UpdateStream(t.Context(), cfg)
	if err != nil || !slices.Equal(updated.CachedInfo().Config.Subjects, cfg.Subjects) {
		t.Fatalf("%v: %v", updated, err)
	}
	wantPrivate()
	register(t, a, "web1", 1)
	if _, err := js.Publish(t.Context(), "cmdb.x", nil); err != nil { // an administrator may add what others publish
		t.Error(err)
	}
	wantMessages(t, js, contract.StreamRegistration, 2)

	backup, data := snapshot(t, js.Conn())
	deleteStream := func() {
		t.Helper()
		if err := js.DeleteStream(t.Context(), contract.StreamRegistration); err != nil {
			t.Fatal(err)
		}
		// The server moves the directory aside and removes it later; until then it cannot move another one.
		wait.Eventually(t, func() error {
			_, err := os.Stat(filepath.Join(a.DataDir(), "jetstream", "choria", "streams", "."+contract.StreamRegistration))
			if !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("the deleted stream's directory exists: %w", err)
			}
			return nil
		})
	}
	deleteStream()
	cfg.Subjects = []string{"choria.node_metadata.>"}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	wantPrivate()
	register(t, a, "web1", 1)
	wantMessages(t, js, contract.StreamRegistration, 1)

	deleteStream()
	if bytes.Contains(backup, []byte("muster.write.")) {
		t.Errorf("the backup has %s", backup)
	}
	restore(t, js.Conn(), backup, data)
	wantPrivate()
	register(t, a, "web1", 1)
	wantMessages(t, js, contract.StreamRegistration, 3)

	cfg.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "cmdb.>", Destination: "x.>"}
	_, err = js.UpdateStream(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "subject_transform must cover") {
		t.Errorf("the transform is accepted: %v", err)
	}
	cfg.SubjectTransform.Source, cfg.SubjectTransform.Destination = "choria.node_metadata.*", "x.{{wildcard(1)}}"
	cfg.Subjects = []string{"choria.node_metadata.*"}
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	register(t, a, "web1", 1)
	if m, err := updated.GetLastMsgForSubject(t.Context(), "x.web1"); err != nil {
		t.Errorf("%v: %v", m, err)
	}
}

// snapshot backs up the stream of registrations, as the nats command does.
func snapshot(t *testing.T, nc *nats.Conn) (config json.RawMessage, data []byte) {
	t.Helper()
	chunks, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	m, err := nc.Request("$JS.API.STREAM.SNAPSHOT.CHORIA_REGISTRATION",
		fmt.Appendf(nil, `{"deliver_subject":%q}`, chunks.Subject), wait.Limit)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Config json.RawMessage }
	if err := json.Unmarshal(m.Data, &answer); err != nil || len(answer.Config) == 0 {
		t.Fatalf("%s: %v", m.Data, err)
	}
	for {
		chunk, err := chunks.NextMsg(wait.Limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(chunk.Data) == 0 {
			return answer.Config, data
		}
		data = append(data, chunk.Data...)
		_ = chunk.Respond(nil)
	}
}

// restore restores the stream of registrations, as the nats command does.
func restore(t *testing.T, nc *nats.Conn, config json.RawMessage, data []byte) {
	t.Helper()
	m, err := nc.Request("$JS.API.STREAM.RESTORE.CHORIA_REGISTRATION",
		fmt.Appendf(nil, `{"config":%s,"state":{"messages":2,"bytes":0,"first_seq":1,"last_seq":2,`+
			`"first_ts":"2020-01-01T00:00:00Z","last_ts":"2020-01-01T00:00:00Z","consumer_count":0}}`, config), wait.Limit)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Deliver string `json:"deliver_subject"`
		Error   any
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Deliver == "" {
		t.Fatalf("%s: %v", m.Data, err)
	}
	for _, chunk := range [][]byte{data, nil} {
		if m, err = nc.Request(answer.Deliver, chunk, wait.Limit); err != nil || bytes.Contains(m.Data, []byte(`"error"`)) {
			t.Fatalf("%v: %v", m, err)
		}
	}
}

// reopen closes the appliance and opens another one in the same directory, with a log.
func reopen(t *testing.T, dir, text string) (a *appliance.Appliance, log *logBuffer, closeAppliance func()) {
	t.Helper()
	cfg := testkit.Config(t, text)
	cfg.DataDir = dir
	log = new(logBuffer)
	logger := hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace})
	a = appliance.New(cfg, appliance.Options{Version: "test", Log: logger})
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeAppliance = func() {
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(closeAppliance)
	return a, log, closeAppliance
}

// makePublic makes the streams listen to their public subjects, as an appliance did before there were private
// streams.
func makePublic(t *testing.T, a *appliance.Appliance) {
	t.Helper()
	public := map[string]string{"CHORIA_STREAM_ADVISORIES": "$JS.EVENT.ADVISORY.>"}
	for stream, subject := range privateStreams {
		public[stream] = subject
	}
	for stream, subject := range public {
		rawUpdate(t, a, stream, func(cfg *jetstream.StreamConfig) {
			cfg.Subjects, cfg.SubjectTransform = []string{subject}, nil
		})
	}
}

// TestPrivateStreams_ExistingStreamsAreConverted opens streams of an earlier version, and streams whose token
// is lost.
func TestPrivateStreams_ExistingStreamsAreConverted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, a *appliance.Appliance){
		"earlier version": makePublic,
		"token lost": func(t *testing.T, a *appliance.Appliance) {
			if err := os.Remove(filepath.Join(a.DataDir(), "write.token")); err != nil {
				t.Error(err)
			}
		},
		"token damaged": func(t *testing.T, a *appliance.Appliance) {
			if err := os.WriteFile(filepath.Join(a.DataDir(), "write.token"), []byte("x"), 0o644); err != nil {
				t.Error(err)
			}
		},
		"token readable": func(t *testing.T, a *appliance.Appliance) {
			if err := os.Chmod(filepath.Join(a.DataDir(), "write.token"), 0o644); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, _, closeFirst := reopen(t, t.TempDir(), keepAll)
			register(t, first, "web1", 2)
			s, err := testkit.JetStream(t, first).Stream(t.Context(), contract.StreamRegistration)
			if err != nil {
				t.Fatal(err)
			}
			durable := jetstream.ConsumerConfig{Durable: "cmdb", FilterSubject: "choria.node_metadata.web1"}
			if _, err := s.CreateConsumer(t.Context(), durable); err != nil {
				t.Fatal(err)
			}
			change(t, first)
			closeFirst()

			a, log, _ := reopen(t, first.DataDir(), keepAll)
			prefix, js := writePrefix(t, a), testkit.JetStream(t, a)
			for stream, subject := range privateStreams {
				if stream == contract.StreamAdvisories {
					continue // fleet.advisories is false: the appliance does not publish them
				}
				if have := rawConfig(t, a, stream).Subjects; !slices.Equal(have, []string{prefix + subject}) {
					t.Errorf("%s listens to %v", stream, have)
				}
			}
			if have := rawConfig(t, a, "CHORIA_STREAM_ADVISORIES").Subjects[0]; have != "$JS.EVENT.ADVISORY.*.>" {
				t.Errorf("the stream of advisories listens to %s", have)
			}
			register(t, a, "web1", 1)
			consumer, err := js.Consumer(t.Context(), contract.StreamRegistration, "cmdb")
			if err != nil {
				t.Fatal(err)
			}
			if pending := consumer.CachedInfo().NumPending; pending != 3 {
				t.Errorf("the consumer has %d messages to read", pending)
			}
			file := filepath.Join(a.DataDir(), "write.token")
			if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
				t.Errorf("%v: %v", info, err)
			}
			if warnings(log) != "" {
				t.Errorf("logged:\n%s", warnings(log))
			}
		})
	}
}

// TestPrivateStreams_StoreWhatCannotBeProtected has streams that cannot be made private: their messages are
// stored nevertheless, and the log says that they are not protected.
func TestPrivateStreams_StoreWhatCannotBeProtected(t *testing.T) {
	t.Parallel()
	t.Run("undeclared stream", func(t *testing.T) {
		t.Parallel()
		const old = "[stream.CHORIA_REGISTRATION]\nenabled = false\n[stream.OLD]\nsubjects = 'choria.node_metadata.>'\n" +
			"max_msgs_per_subject = -1\n"
		first, _, closeFirst := reopen(t, t.TempDir(), old)
		register(t, first, "web1", 1)
		closeFirst()
		a, log, _ := reopen(t, first.DataDir(), "")
		register(t, a, "web1", 1)
		js := testkit.JetStream(t, a)
		wantMessages(t, js, "OLD", 2)
		if have := rawConfig(t, a, contract.StreamFleet).Subjects[0]; have != writePrefix(t, a)+"muster.fleet.>" {
			t.Errorf("the stream of events listens to %s", have)
		}
		const want = `not protected from forged replies until the next start: stream=OLD error="it is not declared"`
		if !strings.Contains(log.String(), want) {
			t.Errorf("logged:\n%s", warnings(log))
		}
	})
	t.Run("wide subject", func(t *testing.T) {
		t.Parallel()
		a, _, _ := reopen(t, t.TempDir(), "[stream.CHORIA_REGISTRATION]\nenabled = false\n"+
			"[stream.ALL]\nsubjects = 'choria.node_metadata.>'\nenabled = false\n[stream.WIDE]\nsubjects = 'choria.*.>'\n"+
			"[stream.CHORIA_EVENTS]\nenabled = false\n[stream.CHORIA_MACHINE]\nenabled = false\n"+
			"[stream.CHORIA_EXECUTOR]\nenabled = false\n[stream.CHORIA_REGISTRATION_ADVISORIES]\nenabled = false\n")
		register(t, a, "web1", 1)
		js := testkit.JetStream(t, a)
		wantMessages(t, js, "WIDE", 1)
		if _, err := js.Publish(t.Context(), "choria.other.x", nil); err != nil {
			t.Error(err)
		}
		s, err := js.Stream(t.Context(), "WIDE")
		if err != nil || !slices.Equal(s.CachedInfo().Config.Subjects, []string{"choria.*.>"}) {
			t.Errorf("%v: %v", s, err)
		}
	})
	t.Run("transform", func(t *testing.T) {
		t.Parallel()
		first, _, closeFirst := reopen(t, t.TempDir(), "")
		makePublic(t, first)
		rawUpdate(t, first, contract.StreamRejected, func(cfg *jetstream.StreamConfig) {
			cfg.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "cmdb.>", Destination: "x.>"}
		})
		closeFirst()
		a, log, _ := reopen(t, first.DataDir(), "")
		nc := testkit.Connect(t, a)
		if err := nc.Publish(testkit.Subject, []byte("not a registration")); err != nil {
			t.Fatal(err)
		}
		wantMessages(t, testkit.JetStream(t, a), contract.StreamRejected, 1)
		want := "stream is not protected from forged replies until the next start: stream=MUSTER_REJECTED"
		if !strings.Contains(log.String(), want) {
			t.Errorf("logged:\n%s", warnings(log))
		}
	})
}

// warnings returns the lines of a log that are warnings or errors.
func warnings(log *logBuffer) string {
	var lines []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "[WARN]") || strings.Contains(line, "[ERROR]") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
