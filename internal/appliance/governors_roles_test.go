package appliance_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

const (
	governorOfMcollective = "mcollective.governor.G1"
	leaveGovernor         = "$JS.API.STREAM.MSG.DELETE.GOVERNOR_G1"
	governorEvent         = "choria.lifecycle.event.governor.cli"
)

// certGovernor makes the governor G1 with one slot in the collective of certificates.
func (s *permissionSite) certGovernor(t *testing.T) {
	t.Helper()
	create := strings.NewReplacer(testkit.GovernorSubject, governorOfMcollective, `"max_msgs":2`, `"max_msgs":1`).
		Replace(testkit.CreateGovernor)
	want(t, s.verifier, "$JS.API.STREAM.CREATE.GOVERNOR_G1", create, "")
}

// TestGovernors_AnswerCertificates has a watcher with a governor and `choria governor run` enter and leave, on nodes
// and as a client with certificates.
func TestGovernors_AnswerCertificates(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	s.certGovernor(t)
	other := s.connectAsChoria(t, "node, token with all")
	sequence := uint64(0)
	for _, r := range []struct {
		title  string
		evicts bool // it may delete the entries of others
	}{{title: "node with roles"}, {title: "compatible node"}, {title: "compatible client", evicts: true}} {
		c, _ := choriaColumn(t, r.title)
		n := &testkit.Governed{Conn: s.connectAsChoria(t, r.title), Identity: c.name}
		names := []string{n.Watcher(), n.Identity} // the second: choria governor run
		if r.evicts {
			names = names[1:] // a client has no watchers
		}
		for _, name := range names {
			sequence++
			s.runGoverned(t, n, name, sequence)
			want(t, other, governorOfMcollective, "other", governorFull)
			leaveGoverned(t, s, n, sequence)
			if err := n.LastError(); err != nil {
				t.Errorf("%s: %v", r.title, err)
			}
		}
		sequence++
		want(t, other, governorOfMcollective, "other", hubAck(testkit.GovernorStream, sequence, ""))
		want(t, n.Conn, governorOfMcollective, n.Identity, governorFull)
		if answer := leaveG1(t, n, sequence, ""); r.evicts != (answer == messageDeleted) {
			t.Errorf("%s deletes the entry of another node: %s", r.title, answer)
		}
		if !r.evicts {
			want(t, other, leaveGovernor, testkit.DeleteEntry(sequence), messageDeleted)
		}
	}
	wantEntries(t, s.verifier, 0)
}

// runGoverned enters G1 as Choria does, and expects that the entry is stored under that name.
func (s *permissionSite) runGoverned(t *testing.T, n *testkit.Governed, name string, sequence uint64) {
	t.Helper()
	if state := want(t, n.Conn, "$JS.API.STREAM.INFO.GOVERNOR_G1", "", ""); !strings.Contains(state, `"messages":0`) {
		t.Errorf("%s sees the state %s", name, state)
	}
	want(t, n.Conn, governorOfMcollective, name, hubAck(testkit.GovernorStream, sequence, ""))
	entry := want(t, s.verifier, "$JS.API.STREAM.MSG.GET.GOVERNOR_G1", fmt.Sprintf(`{"seq":%d}`, sequence), "")
	if data := base64.StdEncoding.EncodeToString([]byte(name)); !strings.Contains(entry, `"data":"`+data+`"`) {
		t.Errorf("%s has the entry %s", name, entry)
	}
}

// leaveGoverned leaves G1 and publishes the event of that, as Choria does.
func leaveGoverned(t *testing.T, s *permissionSite, n *testkit.Governed, sequence uint64) {
	t.Helper()
	events, err := s.verifier.SubscribeSync(governorEvent)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = events.Unsubscribe() }()
	flush(t, s.verifier)
	leaveG1(t, n, sequence, messageDeleted)
	wantEntries(t, s.verifier, 0)
	event := fmt.Sprintf(`{"governor":"G1","sequence":%d,"event_type":"exit"}`, sequence)
	if err := n.Publish(governorEvent, []byte(event)); err != nil {
		t.Fatal(err)
	}
	if m, err := events.NextMsg(wait.Limit); err != nil || string(m.Data) != event {
		t.Errorf("the event of %s: %v, %v", n.Identity, m, err)
	}
}

// TestGovernors_RefuseCertificatesWithoutRoles has connections without the roles enter and leave.
func TestGovernors_RefuseCertificatesWithoutRoles(t *testing.T) {
	t.Parallel()
	s := openPermissionSite(t)
	s.certGovernor(t)
	for _, title := range []string{"node", "client"} {
		nc := s.connectAsChoria(t, title)
		publish := func(subject, body string) error {
			t.Helper()
			if err := nc.PublishRequest(subject, "mcollective.reply.x.y", []byte(body)); err != nil {
				t.Fatal(err)
			}
			flush(t, nc)
			return nc.LastError()
		}
		if err := publish(governorOfMcollective, nc.Opts.Name); !wasDenied(nc, governorOfMcollective) {
			t.Errorf("%s enters: %v", title, err)
		}
		if title == "client" {
			continue // it may delete any message
		}
		if err := publish(leaveGovernor, testkit.DeleteEntry(1)); !wasDenied(nc, leaveGovernor) {
			t.Errorf("%s leaves: %v", title, err)
		}
	}
	if m, err := s.verifier.Request(governorOfMcollective, []byte("x"), time.Second); err != nil ||
		string(m.Data) != hubAck(testkit.GovernorStream, 1, "") { // nothing was stored before
		t.Errorf("%v, %v", m, err)
	}
}
