package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestIndex_KeepsFactsClassesAndAgents(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Index = []string{"os.name", "os.release.major", "cores", "missing.fact"}
	s := newFixture(t)
	f := s.open(cfg)
	bodies := [][]byte{
		inventoryBody(t, `{"agents":[{"name":"rpcutil"},{"name":"puppet"}],"classes":["role::web"],
			"collectives":["mcollective","ams"],
			"facts":{"os":{"name":"Debian","release":{"major":"13"}},"cores":8}}`),
		fileBody(t, "/facts.json", `{"os":{"name":"Fedora"},"cores":2}`),
		fileBody(t, "/etc/motd", "not JSON"),
	}
	s.register(len(bodies), func(n int) []byte { return output(n, "1", bodies[n]) })
	wait.Eventually(t, func() error {
		if s := f.Summary(); s.States[Up] != 3 {
			return fmt.Errorf("%v", s)
		}
		return nil
	})
	_ = f.Close(t.Context())
	f = s.open(cfg) // knows the nodes from their events before it reads the registrations
	for n, want := range []string{
		`cores:8 os.name:"Debian" os.release.major:"13"; role::web; rpcutil puppet; mcollective ams`,
		`cores:2 os.name:"Fedora"; ; ; `,
		`; ; ; `,
	} {
		status, _ := f.Node(idOf(n))
		var facts []string
		for _, path := range []string{"cores", "missing.fact", "os.name", "os.release.major"} {
			if value, ok := status.Facts[path]; ok {
				facts = append(facts, path+":"+string(value))
			}
		}
		got := fmt.Sprintf("%s; %s; %s; %s", strings.Join(facts, " "), strings.Join(status.Classes, " "),
			strings.Join(status.Agents, " "), strings.Join(status.Collectives, " "))
		if got != want || len(status.Facts) != len(facts) {
			t.Errorf("%s has %s, want %s; facts %s", nodeName(n), got, want, status.Facts)
		}
	}
}

// The default configuration finds nodes by fact, class, agent and collective; with an empty index none of
// these is kept.
func TestFleet_IndexesByDefault(t *testing.T) {
	t.Parallel()
	query := Query{
		Where:   parseWhere(t, "os.name=Debian", "os.family=Debian", "os.release.major=13"),
		Classes: []string{"role::web"}, Agents: []string{"puppet"}, Collectives: []string{"ams"},
	}
	s := newFixture(t)
	body := inventoryBody(t, `{"agents":[{"name":"puppet"}],"classes":["role::web"],"collectives":["ams"],
		"facts":{"os":{"name":"Debian","family":"Debian","release":{"major":"13"}}}}`)
	s.register(1, func(n int) []byte { return output(n, "1", body) })
	page, err := s.open(DefaultConfig()).Nodes(query)
	if err != nil || len(page.Nodes) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	cfg := DefaultConfig()
	cfg.Index = nil
	f := s.open(cfg)
	if _, err := f.Nodes(query); !errors.Is(err, ErrQuery) {
		t.Errorf("%v", err)
	}
	page, err = f.Nodes(Query{Collectives: []string{"fra"}})
	if err != nil || len(page.Nodes) != 1 || page.Nodes[0].Collectives != nil {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestIndex_KeepsLittleOfALargeRegistration has facts and names beyond each limit.
func TestIndex_KeepsLittleOfALargeRegistration(t *testing.T) {
	t.Parallel()
	many := func(format string, count int) string {
		var all []string
		for n := range count {
			all = append(all, fmt.Sprintf(format, n))
		}
		return strings.Join(all, ",")
	}
	cfg := DefaultConfig()
	cfg.Index = []string{"os.name", "os", "cores"}
	s := newFixture(t)
	f := s.open(cfg)
	bodies := [][]byte{
		inventoryBody(t, `{"agents":[`+many(`{"name":"a%d"}`, maxNames+20)+`],"classes":[`+many(`"c%d"`, maxNames+7)+
			`],"facts":{"os":{"name":"`+strings.Repeat("x", maxValue)+`"},"cores":8}}`),
		inventoryBody(t, `{"agents":[],"classes":["first","`+strings.Repeat("c", maxNameBytes)+`","last"],"facts":{}}`),
	}
	s.register(len(bodies), func(n int) []byte { return output(n, "1", bodies[n]) })
	wait.Eventually(t, func() error {
		if s := f.Summary(); s.States[Up] != len(bodies) {
			return fmt.Errorf("%v", s)
		}
		return nil
	})
	first, _ := f.Node(idOf(0))
	if len(first.Agents) != maxNames || len(first.Classes) != maxNames || len(first.Facts) != 1 {
		t.Errorf("%d agents, %d classes, %d facts", len(first.Agents), len(first.Classes), len(first.Facts))
	}
	second, _ := f.Node(idOf(1))
	if got := strings.Join(second.Classes, " "); got != "first" {
		t.Errorf("classes %.100s", got)
	}
	if omitted := f.omitted.Load(); omitted != 20+7+2+2 {
		t.Errorf("%d omitted", omitted)
	}
}
