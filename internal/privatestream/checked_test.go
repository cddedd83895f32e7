package privatestream

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

func TestParseRequest(t *testing.T) {
	for _, test := range []struct {
		subject, name, stream string
	}{
		{contract.SubjectAPI + "STREAM.LIST", "STREAM.LIST", ""},
		{contract.SubjectAPI + "STREAM.DELETE.S", "STREAM.DELETE", "S"},
		{contract.SubjectAPI + "STREAM.MSG.GET.S", "STREAM.MSG.GET", "S"},
		{contract.SubjectAPI + "CONSUMER.DELETE.S.C", "CONSUMER.DELETE", "S"},
		{contract.SubjectChecked + "STREAM.INFO.S", "STREAM.INFO", "S"},
		{contract.SubjectChecked + "CONSUMER.CREATE.S", "CONSUMER.CREATE", "S"},
		{contract.SubjectChecked + "CONSUMER.CREATE.S.C.a.b", "CONSUMER.CREATE", "S"},
		{contract.SubjectChecked + "STREAM.INFO.S.x", "", ""},
		{contract.SubjectChecked + "STREAM.INFO.", "", ""},
		{contract.SubjectChecked + "STREAM.INFO", "", ""},
		{contract.SubjectChecked + "STREAM.DELETE.S", "", ""},
		{contract.SubjectChecked + "STREAM.LIST", "", ""},
		{contract.SubjectChecked + "CONSUMER.CREATE.S..f", "", ""},
		{contract.SubjectChecked + "SERVER.REMOVE", "", ""},
		{contract.SubjectAPI + "STREAM.LEADER.S", "", ""},
		{contract.SubjectAPI + "STREAM.LIST.S", "", ""},
	} {
		t.Run(test.subject, func(t *testing.T) {
			r, ok := parseRequest(inproc.Message{Subject: test.subject})
			if ok != (test.name != "") || ok && (r.name != test.name || r.stream != test.stream) {
				t.Errorf("%t, %s of %s", ok, r.name, r.stream)
			}
		})
	}
}

// The appliance does not get requests that are not listed, and the list has those that it gets.
func TestParseRequest_KnowsWhatIsChecked(t *testing.T) {
	for _, pattern := range contract.CheckedRequests() {
		text := strings.ReplaceAll(strings.ReplaceAll(pattern, "*", "S"), ">", "S")
		if _, ok := parseRequest(inproc.Message{Subject: contract.SubjectChecked + text}); !ok {
			t.Errorf("%s is not known", pattern)
		}
	}
}

func TestCheckUnambiguous(t *testing.T) {
	for data, ok := range map[string]bool{
		`{}`: true,
		` {"name":"S","subjects":["a","b"],"n":1,"x":null,"t":true}` + "\n": true,
		`{"a":{"b":1},"c":{"b":[{"d":1},{"d":2}]}}`:                         true,
		`{"metadata":{"Ä":"1","a":"","A":""}}`:                              true,
		``:                                                                  false,
		`[]`:                                                                false,
		`null`:                                                              false,
		`"x"`:                                                               false,
		`{"a":1`:                                                            false,
		`{"a":1} x`:                                                         false,
		`{"a":1}{"b":1}`:                                                    false,
		`{"a":1,"a":2}`:                                                     false,
		`{"a":1,"A":2}`:                                                     false,
		`{"ſubjects":[]}`:                                                   false,
		`{"\u017fubjects":[]}`:                                              false,
		`{"a":{"b":1,"B":2}}`:                                               false,
		`{"a":[{"b":1},{"b":1,"b":2}]}`:                                     false,
		`{"a":1,}`:                                                          false,
	} {
		t.Run(data, func(t *testing.T) {
			if err := checkUnambiguous([]byte(data)); (err == nil) != ok {
				t.Errorf("%v", err)
			}
		})
	}
}

// newChecked returns a service that refuses requests of the connection 1, a node, and 2, a client, before
// JetStream gets them.
func newChecked(t *testing.T, refused *[]string) *Service {
	t.Helper()
	return New(Options{
		Streams: []string{"CHORIA_REGISTRATION"}, Account: "choria", Log: hclog.NewNullLogger(),
		IsNode:  func(id uint64) bool { return id == 1 },
		IsAdmin: func(uint64) bool { return false },
		Refused: func(_ inproc.Peer, subject string) { *refused = append(*refused, subject) },
		Changing: func(operation string) func([]byte) {
			t.Errorf("%s is announced as a change, but was refused", operation)
			return func([]byte) {}
		},
	})
}

func TestService_RefusesBeforeItAnnouncesAChange(t *testing.T) {
	const node, client = 1, 2
	for _, test := range []struct {
		connection    uint64
		subject, data string
	}{
		{node, contract.SubjectChecked + "CONSUMER.DELETE.CHORIA_MACHINE.cmdb", ""},
		{node, contract.SubjectChecked + "STREAM.MSG.DELETE.KV_CONFIG", `{"seq":1}`},
		{node, contract.SubjectChecked + "STREAM.DELETE.KV_CONFIG", ""},
		{node, contract.SubjectAPI + "STREAM.DELETE.KV_CONFIG", ""},
		{node, contract.SubjectChecked + "STREAM.INFO.CHORIA_REGISTRATION", ""},
		{client, contract.SubjectChecked + "STREAM.PURGE.CHORIA_MACHINE", ""},
		{client, contract.SubjectAPI + "STREAM.UPDATE.CHORIA_REGISTRATION",
			`{"name":"CHORIA_REGISTRATION","sources":[{"name":"KV_CONFIG"}]}`},
		{client, contract.SubjectAPI + "STREAM.DELETE.CHORIA_REGISTRATION", ""},
		{client, contract.SubjectAPI + "STREAM.CREATE.X", `{"name":"X","subjects":["$JS.EVENT.>"]}`},
		{client, contract.SubjectAPI + "STREAM.RESTORE.X", `{"config":{"name":"X","subjects":["muster.write.*.x"]}}`},
	} {
		t.Run(test.subject, func(t *testing.T) {
			var refused []string
			peer := inproc.Peer{ID: test.connection, Kind: inproc.KindClient, Account: "choria"}
			newChecked(t, &refused).answer(inproc.Message{Subject: test.subject, Data: []byte(test.data), Peer: peer})
			if len(refused) != 1 || !strings.HasPrefix(refused[0], contract.PrefixAPI) {
				t.Errorf("refused: %v", refused)
			}
		})
	}
}

func TestService_RefusesAmbiguousConfigurations(t *testing.T) {
	var refused []string
	s := newChecked(t, &refused)
	for _, data := range []string{
		`{"name":"X","ſubjects":["$JS.EVENT.ADVISORY.API"]}`, `{"name":"X"}{"subjects":["$JS.EVENT.ADVISORY.API"]}`,
		`{"name":"X","subjects":["a"],"Subjects":["$JS.EVENT.ADVISORY.API"]}`,
	} {
		r, _ := parseRequest(inproc.Message{Subject: contract.SubjectAPI + "STREAM.CREATE.X", Data: []byte(data)})
		if _, err := s.check(&r); !errors.Is(err, errInvalidJSON) {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestOwnConsumer(t *testing.T) {
	for data, want := range map[string]string{
		`{"stream_name":"KV_B","config":{"deliver_subject":"x"}}`: `{"action":"create",` +
			`"config":{"deliver_subject":"x"},"stream_name":"KV_B"}`,
		`{"config":{"deliver_subject":"x","inactive_threshold":9000000000000000000},"action":"update"}`: `{"action":` +
			`"create","config":{"deliver_subject":"x","inactive_threshold":300000000000}}`,
		`{"config":{"deliver_subject":"x","durable_name":"d"}}`: "",
		`{"config":{"ack_policy":"none"}}`:                      "",
		`{}`:                                                    "",
	} {
		t.Run(data, func(t *testing.T) {
			have, err := ownConsumer([]byte(data))
			if string(have) != want || (err == nil) != (want != "") {
				t.Errorf("%s, %v", have, err)
			}
		})
	}
}

func TestService_LimitsWaitingRequestsOfAnIdentity(t *testing.T) {
	var refused []string
	s := newChecked(t, &refused)
	m := func(user string) inproc.Message {
		return inproc.Message{Peer: inproc.Peer{ID: 1, User: user}, Size: 10}
	}
	for range maxOfPeer {
		if !s.enter(m("web1")) {
			t.Fatal("refused below the limit")
		}
	}
	if s.enter(m("web1")) || !s.enter(m("web2")) {
		t.Error("the limit is not that of one identity")
	}
	s.leave(m("web1"))
	if !s.enter(m("web1")) {
		t.Error("refused although a request was answered")
	}
	if have := s.waiting.Load(); have != 10*(maxOfPeer+1) {
		t.Errorf("%d bytes wait", have)
	}
}
