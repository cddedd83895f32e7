package privatestream

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	token  = "0123456789abcdef0123456789abcdef"
	prefix = "muster.write." + token + "."
)

// outputs are what the appliance of these tests publishes to.
var outputs = []string{"choria.node_metadata.>", "muster.fleet.>", "advisories"}

// translations are configurations as readers know them, with what the streams listen to.
var translations = map[string]struct{ public, private string }{
	"one subject": {
		`{"subjects":["choria.node_metadata.>"]}`,
		`{"subject_transform":{"src":"PREFIX>","dest":">"},"subjects":["PREFIXchoria.node_metadata.>"]}`,
	},
	"narrower subjects": {
		`{"max_age":5,"subjects":["choria.node_metadata.web1","advisories"]}`,
		`{"max_age":5,"subject_transform":{"src":"PREFIX>","dest":">"},` +
			`"subjects":["PREFIXchoria.node_metadata.web1","PREFIXadvisories"]}`,
	},
	"beside subjects of others": {
		`{"subjects":["muster.fleet.>","cmdb.>"]}`,
		`{"subject_transform":{"src":"PREFIX>","dest":">"},"subjects":["PREFIXmuster.fleet.>","cmdb.>"]}`,
	},
	"wider subject": {
		`{"subjects":["choria.>"]}`,
		`{"subject_transform":{"src":"PREFIX>","dest":">"},"subjects":["choria.>","PREFIXchoria.>"]}`,
	},
	"own transform": {
		`{"subject_transform":{"src":"muster.fleet.*","dest":"x.{{wildcard(1)}}"},"subjects":["muster.fleet.*"]}`,
		`{"subject_transform":{"src":"PREFIXmuster.fleet.*","dest":"x.{{wildcard(1)}}"},"subjects":["PREFIXmuster.fleet.*"]}`,
	},
	"governor": {
		`{"name":"GOVERNOR_G","subjects":["choria.governor.G"]}`,
		`{"name":"GOVERNOR_G","subject_transform":{"src":"PREFIX>","dest":">"},"subjects":["PREFIXchoria.governor.G"]}`,
	},
	"governor of all collectives, beside another subject": {
		`{"name":"GOVERNOR_G","subjects":["*.governor.G","x"]}`,
		`{"name":"GOVERNOR_G","subject_transform":{"src":"PREFIX>","dest":">"},"subjects":["PREFIX*.governor.G","x"]}`,
	},
	"governor with subjects of others": {
		`{"name":"GOVERNOR_G","subjects":["choria.governor.H","choria.>"]}`,
		`{"name":"GOVERNOR_G","subjects":["choria.governor.H","choria.>"]}`,
	},
	"subjects of others": {`{"subjects":["cmdb.>"]}`, `{"subjects":["cmdb.>"]}`},
	"mirror":             {`{"mirror":{"name":"S"}}`, `{"mirror":{"name":"S"}}`},
}

func TestSubjects_TranslateBothWays(t *testing.T) {
	s := newSubjects(token, []string{"S"}, outputs)
	for name, c := range translations {
		t.Run(name, func(t *testing.T) {
			private := canonical(t, []byte(strings.ReplaceAll(c.private, "PREFIX", prefix)))
			for _, config := range []string{c.public, private, strings.ReplaceAll(private, token, "earlier")} {
				o, err := parseObject([]byte(config))
				stream := "S"
				if err == nil {
					err = errors.Join(o.get("name", &stream), s.hide(stream, o))
				}
				if have := marshal(t, o); err != nil || have != private {
					t.Errorf("%s is stored as %s: %v", config, have, err)
				}
				shown, err := show([]byte(config))
				if err != nil || canonical(t, shown) != canonical(t, []byte(c.public)) {
					t.Errorf("%s is shown as %s: %v", config, shown, err)
				}
			}
		})
	}
}

func TestSubjects_RefuseTransformThatStoresTheToken(t *testing.T) {
	s := newSubjects(token, []string{"S"}, outputs)
	for _, config := range []string{
		`{"subjects":["choria.node_metadata.>"],"subject_transform":{"src":"cmdb.>","dest":"x.>"}}`,
		`{"subjects":["choria.node_metadata.>","muster.fleet.>"],"subject_transform":{"src":"muster.fleet.>","dest":"x.>"}}`,
		`{"subjects":["choria.>"],"subject_transform":{"src":"choria.>","dest":"x.>"}}`,
		`{"SUBJECTS":["choria.node_metadata.>"],"Subject_Transform":{"src":"cmdb.>","dest":"x.>"}}`, // NATS ignores case
	} {
		o, err := parseObject([]byte(config))
		if err == nil {
			err = s.hide("S", o)
		}
		if !errors.Is(err, errTransform) {
			t.Errorf("%s: %s, %v", config, marshal(t, o), err)
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v) // decoded and encoded again, because raw members keep escaped characters
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

// canonical returns JSON with sorted members.
func canonical(t *testing.T, data []byte) string {
	t.Helper()
	o, err := parseObject(data)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, o)
}

// TestService_AnswersFitIntoOneMessage reads the subjects of a large stream, and a long list of streams, page
// by page as a client does.
func TestService_AnswersFitIntoOneMessage(t *testing.T) {
	s := New(Options{Token: token, MaxPayload: 4 << 10})
	all := map[string]int{}
	var streams []map[string]any
	for n := range 1000 {
		all[fmt.Sprintf("choria.node_metadata.web%d", n)] = n
		streams = append(streams, map[string]any{"config": map[string]string{"name": fmt.Sprint("S", n)}})
	}
	read, pages := map[string]int{}, 0
	for ; len(read) < len(all); pages++ {
		rest := map[string]int{}
		for _, name := range slices.Sorted(maps.Keys(all))[len(read):] {
			rest[name] = all[name]
		}
		answer := object{}
		answer.set(memberState, map[string]any{"messages": 1000, "subjects": rest})
		var page struct {
			State struct{ Subjects map[string]int }
		}
		fitAnswer(t, s, answer, &page)
		if len(page.State.Subjects) == 0 {
			t.Fatal("an empty page")
		}
		maps.Copy(read, page.State.Subjects)
	}
	if !maps.Equal(read, all) || pages < 10 {
		t.Errorf("read %d subjects on %d pages", len(read), pages)
	}
	answer := object{}
	answer.set(memberStreams, streams)
	var page struct {
		Limit   int
		Streams []struct{ Config struct{ Name string } }
	}
	fitAnswer(t, s, answer, &page)
	last := page.Limit - 1
	if last < 0 || len(page.Streams) != page.Limit || page.Streams[last].Config.Name != fmt.Sprint("S", last) {
		t.Errorf("%+v", page)
	}
	answer = object{}
	answer.set("x", strings.Repeat("x", 4<<10))
	if _, err := s.fit(answer); !errors.Is(err, errAnswerSize) {
		t.Errorf("an answer that cannot be cut: %v", err)
	}
}

func fitAnswer(t *testing.T, s *Service, answer object, page any) {
	t.Helper()
	data, err := s.fit(answer)
	if err != nil || int64(len(data)) > s.opts.MaxPayload {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
	if err := json.Unmarshal(data, page); err != nil {
		t.Fatal(err)
	}
}
