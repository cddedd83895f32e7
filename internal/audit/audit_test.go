package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// stream is what a Log stores to. It may refuse.
type stream struct {
	mu      sync.Mutex
	refuses bool
	records []Record
}

func (s *stream) store(_ context.Context, sequence uint64, r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses {
		return errors.New("no space")
	}
	s.records = append(s.records, r)
	if sequence != uint64(len(s.records)) {
		return fmt.Errorf("sequence %d", sequence)
	}
	return nil
}

func (s *stream) actions() (sum uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		sum += r.Count
	}
	return sum
}

// openLog opens a Log that stores to the stream, and returns what it logs.
func openLog(t *testing.T, s *stream) (*Log, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	o := Options{
		Now: time.Now, Log: hclog.New(&hclog.LoggerOptions{Output: out}),
		Secrets: func() []string { return []string{"s3cret"} },
	}
	if s != nil {
		o.Store = s.store
	}
	l := New(o)
	if err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l, out
}

func TestLog_AccountsForEveryAction(t *testing.T) {
	const workers, actions = 4, 500
	s := &stream{}
	l, _ := openLog(t, s)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range actions {
				l.Add(Record{Action: "stream-purge", Identity: fmt.Sprint(w), Stream: fmt.Sprint(i % 7)})
			}
		})
	}
	wg.Wait()
	_ = l.Close(t.Context())
	l.Add(Record{Action: "stream-purge"})
	recorded, unrecorded := l.Counts()
	if recorded != workers*actions || unrecorded != 1 || s.actions() != recorded {
		t.Errorf("%d recorded, %d not, %d stored", recorded, unrecorded, s.actions())
	}
	if n := len(s.records); n > 2*workers*7+20 {
		t.Errorf("%d records", n)
	}
}

func TestLog_KeepsRecordsUntilTheyAreStored(t *testing.T) {
	s := &stream{refuses: true}
	l, out := openLog(t, s)
	for i := range maxQueue + 5 {
		l.Add(Record{Action: "stream-delete", Identity: fmt.Sprint(i)})
	}
	s.mu.Lock()
	s.refuses = false
	s.mu.Unlock()
	wait.Eventually(t, func() error {
		if n := s.actions(); n < 900 {
			return fmt.Errorf("%d stored", n)
		}
		return nil
	})
	_ = l.Close(t.Context())
	recorded, unrecorded := l.Counts()
	if recorded+unrecorded != maxQueue+5 || s.actions() != recorded {
		t.Errorf("%d recorded, %d not, %d stored", recorded, unrecorded, s.actions())
	}
	if !strings.Contains(out.String(), "administrator's action: action=stream-delete stream=\"\" identity=7 ") {
		t.Errorf("the log is %.2000s", out)
	}
}

func TestLog_CountsWhatIsOnlyLogged(t *testing.T) {
	for name, s := range map[string]*stream{"no stream": nil, "the stream refuses": {refuses: true}} {
		t.Run(name, func(t *testing.T) {
			l, out := openLog(t, s)
			for range 3 {
				l.Add(Record{Action: "stream-purge", Identity: "admin", Stream: "S"})
			}
			_ = l.Close(t.Context())
			if recorded, unrecorded := l.Counts(); recorded != 0 || unrecorded != 3 {
				t.Errorf("%d recorded, %d not", recorded, unrecorded)
			}
			if n := strings.Count(out.String(), "administrator's action"); n != 2 {
				t.Errorf("%d lines: %s", n, out)
			}
		})
	}
}

func TestLog_RecordsNoSecretAndBoundsTexts(t *testing.T) {
	s := &stream{}
	l, out := openLog(t, s)
	long := "s3cret" + strings.Repeat("x", 1<<20)
	l.Add(Record{
		Action: "stream-update", Identity: long, Name: long, Stream: long, Filter: long, Error: long,
		Config: json.RawMessage(`{"description":"muster.write.s3cret.x"}`),
	})
	l.Add(Record{Action: "stream-create", Config: json.RawMessage(`{"description":"` + long + `"}`)})
	_ = l.Close(t.Context())
	if len(s.records) != 2 {
		t.Fatalf("%d records", len(s.records))
	}
	data, err := json.Marshal(s.records)
	if err != nil || len(data) > 3000 || bytes.Contains(data, []byte("s3cret")) {
		t.Errorf("%d bytes, %v: %s", len(data), err, data)
	}
	if string(s.records[0].Config) != `{"description":"muster.write.TOKEN.x"}` || s.records[1].Config != nil {
		t.Errorf("%s, %s", s.records[0].Config, s.records[1].Config)
	}
	if out.Len() > 2000 || strings.Contains(out.String(), "s3cret") {
		t.Errorf("the log has %d bytes", out.Len())
	}
}
