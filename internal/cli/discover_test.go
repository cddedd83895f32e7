package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// discovered runs the command as Choria does, and gives the nodes of its reply and the error.
func discovered(t *testing.T, request string, flags ...string) (nodes []string, failure string) {
	t.Helper()
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "request"), filepath.Join(dir, "reply")}
	for i, text := range []string{request, ""} {
		if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append(append([]string{"discover"}, flags...), files[0], files[1], "io.choria.choria.discovery.v1.external_request")
	if status, out, errOut := muster(t, args...); status != 0 || out+errOut != "" {
		t.Errorf("%s: status %d, %s%s", request, status, out, errOut)
	}
	text, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Protocol string    `json:"protocol"`
		Nodes    *[]string `json:"nodes"`
		Error    string    `json:"error"`
	}
	if err := json.Unmarshal(text, &reply); err != nil || reply.Protocol != "io.choria.choria.discovery.v1.external_reply" || reply.Nodes == nil {
		t.Fatalf("%s: the reply is %s", request, text)
	}
	return *reply.Nodes, reply.Error
}

// request is what Choria asks, with a filter and options as JSON.
func request(filter, options string) string {
	return `{"$schema":"https://choria.io/schemas/choria/discovery/v1/external_request.json","protocol":"io.choria.choria.discovery.v1.external_request",` +
		`"timeout":10,"collective":"mcollective","federations":null,"options":` + options + `,"filter":` + filter + `}`
}

func fact(conditions ...string) string {
	var filters []string
	for _, text := range conditions {
		f, err := choria.ParseFactFilter(text)
		if err != nil {
			panic(err)
		}
		filter, _ := json.Marshal(f)
		filters = append(filters, string(filter))
	}
	return `{"fact":[` + strings.Join(filters, ",") + `],"cf_class":[],"agent":[],"identity":[],"compound":[]}`
}

func TestDiscoverySelectsAsChoriaDoes(t *testing.T) {
	const nodes = 13
	config := quick(t, "index = ['os.name', 'os.release.major', 'processors.count', 'processors.models.0', 'role', 'nothing', 'os', "+
		"'virtual', 'bare', 'load', 'whole', 'below', 'none', 'disks', 'disks.1', 'disks.#', 'empty', 'a\\.b']\n")
	p := startProcess(t, config)
	connectNodes(t, p.broker, nodes-1, simnode.Kind{})
	registerTyped(t, p.broker, nodes-1)
	wait.Eventually(t, func() error {
		if s := summary(t, p.console); s.States[fleet.Up] != nodes {
			return fmt.Errorf("%v", s.States)
		}
		return nil
	})
	all := func(int) bool { return true }
	typed := func(i int) bool { return i == nodes-1 }
	none := func(int) bool { return false }
	inventory := func(i int) bool { return i%4 >= 2 } // the others tell their facts only
	filters := map[string]func(i int) bool{
		`{}`:   all,
		`null`: all,
		`{"fact":[],"cf_class":[],"agent":[],"identity":[],"compound":[]}`: all,
		fact("os.name=Debian"):                              func(i int) bool { return i%3 == 1 },
		fact("os.name=debian"):                              func(i int) bool { return i%3 == 1 },
		fact("os.name!=debian"):                             func(i int) bool { return i%3 != 1 },
		fact("os.name=~^(Deb|SL)"):                          func(i int) bool { return i%3 > 0 },
		fact("os.name=/^deb/"):                              none,
		fact("os.name<B"):                                   func(i int) bool { return i%3 == 0 },
		fact("os.name>=Debian"):                             func(i int) bool { return i%3 > 0 },
		fact("os.release.major=9"):                          all,
		fact("os.release.major>8"):                          all,
		fact("os.release.major=9.0"):                        none,
		fact("processors.count=4"):                          func(i int) bool { return i%4 == 0 },
		fact("processors.count=4.0"):                        func(i int) bool { return i%4 == 0 },
		fact("processors.count>8"):                          func(i int) bool { return i%4 > 1 },
		fact("processors.count>=8"):                         func(i int) bool { return i%4 > 0 },
		fact("processors.count<8"):                          func(i int) bool { return i%4 == 0 },
		fact("processors.count<=8"):                         func(i int) bool { return i%4 < 2 },
		fact("processors.count>4", "os.name=SLES"):          func(i int) bool { return i%4 > 0 && i%3 == 2 },
		fact("processors.models.0=~EPYC"):                   all,
		fact("processors.count=many"):                       none,
		fact("nothing=x"):                                   none,
		fact("nothing!=x"):                                  none,
		fact("os=~Debian"):                                  none,
		fact("virtual=true"):                                typed,
		fact("virtual==Yes"):                                typed,
		fact("virtual!=0"):                                  typed,
		fact("virtual=maybe"):                               none,
		fact("virtual>=1"):                                  none,
		fact("bare=f"):                                      typed,
		fact("bare!=n"):                                     none,
		fact("load=0.75"):                                   typed,
		fact("load=0"):                                      typed, // as integers
		fact("load<0.8", "load>0.7"):                        typed,
		fact("load=~^0.7500$"):                              typed,
		fact("whole==2"):                                    typed,
		fact("below<0"):                                     typed,
		fact("below>-3"):                                    none,
		fact("below<=-2.5"):                                 typed,
		fact("none=null"):                                   none,
		fact("none!=x"):                                     none,
		fact("disks=sda"):                                   none,
		fact("disks=~sda"):                                  none,
		fact("disks.1=SDB"):                                 typed,
		fact("disks.#=2"):                                   typed,
		fact("empty!=x"):                                    typed,
		fact("empty=~^$"):                                   typed,
		fact(`a\.b=c`):                                      typed,
		fact("virtual=t", "os.name=AlmaLinux", "below=-3"):  typed,
		fact("virtual=t", "os.name=Debian"):                 none,
		`{"identity":["node00003.example.net"]}`:            func(i int) bool { return i == 3 },
		`{"identity":["NODE00003.example.net"]}`:            none,
		`{"identity":["nobody","/0000[12]/"]}`:              func(i int) bool { return i == 1 || i == 2 },
		`{"identity":["/^NODE/"]}`:                          none,
		`{"cf_class":["role::web"]}`:                        inventory,
		`{"cf_class":["ROLE::WEB","/^PROFILE/"]}`:           inventory,
		`{"cf_class":["role::web","role::db"]}`:             none,
		`{"cf_class":["/db|base/"]}`:                        inventory,
		`{"agent":["rpcutil"]}`:                             inventory,
		`{"agent":["/rpc.*/"]}`:                             inventory,
		`{"agent":["puppet"]}`:                              none,
		`{"agent":["rpcutil"],"identity":["/[02468][.]/"]}`: func(i int) bool { return inventory(i) && i%2 == 0 },
		`{"agent":["rpcutil"],"cf_class":["role::web"],"fact":[{"fact":"role","operator":"==","value":"queue"}]}`: func(i int) bool {
			return inventory(i) && i%5 == 2
		},
	}
	if len(filters) < 60 {
		t.Fatalf("%d filters", len(filters))
	}
	for filter, want := range filters {
		var expected []string
		for i := range nodes {
			if want(i) {
				expected = append(expected, fmt.Sprintf("node%05d.example.net", i))
			}
		}
		have, failure := discovered(t, request(filter, `{"command":"muster discover"}`), "--server", p.console)
		if failure != "" || !slices.Equal(have, expected) {
			t.Errorf("%s: %v %s; want %v", filter, have, failure, expected)
		}
	}
	refusals(t, p.console)
	inventories(t, p.console, inventory)
}

// inventories holds Choria's files against what the nodes have registered.
func inventories(t *testing.T, console string, whole func(i int) bool) {
	status, out, errOut := muster(t, "nodes", "--format", "inventory", "--where", "os.name=AlmaLinux", "--server", console)
	var file struct {
		Schema string `json:"$schema"`
		Nodes  []struct {
			Name                         string
			Collectives, Classes, Agents []string
			Facts                        struct {
				OS       struct{ Name string }
				Packages map[string]any // which are not indexed
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &file); status != 0 || err != nil || errOut != "" || file.Schema != "https://choria.io/schemas/choria/discovery/v1/inventory_file.json" || len(file.Nodes) != 5 {
		t.Fatalf("%d %v %s%s", status, err, out, errOut)
	}
	for at, n := range file.Nodes {
		i := at * 3
		if n.Name != fmt.Sprintf("node%05d.example.net", i) || n.Facts.OS.Name != "AlmaLinux" || !slices.Equal(n.Collectives, []string{"mcollective"}) ||
			(len(n.Facts.Packages) > 0) != (i < 12) || slices.Contains(n.Agents, "rpcutil") != whole(i) || slices.Contains(n.Classes, "role::web") != whole(i) {
			t.Errorf("%+v", n)
		}
	}
	status, out, errOut = muster(t, "nodes", "--format", "flatfile", "--identity", "/0000[12]/", "--server", console)
	if status != 0 || out != "node00001.example.net\nnode00002.example.net\n" || errOut != "" {
		t.Errorf("%d %s%s", status, out, errOut)
	}
}

// registerTyped registers a node with a fact of each type, beside those that the others have.
func registerTyped(t *testing.T, broker string, index int) {
	t.Helper()
	facts := fmt.Appendf(nil, `{"os":{"name":"AlmaLinux","release":{"major":"9"}},"processors":{"count":4,"models":["AMD EPYC"]},"role":"queue",`+
		`"virtual":true,"bare":false,"load":0.75,"whole":2.0,"below":-3,"none":null,"disks":["sda","sdb"],"empty":"","a.b":"C"}`)
	registerFacts(t, broker, fmt.Sprintf("node%05d.example.net", index), facts)
}

// registerFacts registers facts of a node one after the other; it stays connected.
func registerFacts(t *testing.T, broker, name string, all ...[]byte) {
	t.Helper()
	nc, err := nats.Connect(broker, nats.Name(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for i, facts := range all {
		body, err := choria.FileBody("/etc/choria/facts.json", time.Unix(1, 0), true, facts, true)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := choria.NewRegistration(fmt.Sprintf("%032d", i), name, "mcollective", time.Now(), body).EncodeV1(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish(simnode.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
}

// refusals are what must be answered with an error, never with nodes.
func refusals(t *testing.T, console string) {
	for text, want := range map[string]string{
		``:     `malformed`,
		`[]`:   `cannot unmarshal array`,
		`{}`:   `the protocol is ""`,
		`{"x`:  `malformed`,
		"\xff": `not-utf8`,
		request(fact("os.family=Debian"), `null`):                                              `the fact "os.family" is not indexed; fleet.index lists os.name`,
		request(`{"compound":[[{"expr":"with('apache')"}]]}`, `null`):                          `compound filters are not supported`,
		request(`{"identity":["/(/"]}`, `null`):                                                `not a valid regular expression`,
		request(`{"cf_class":["/[/"]}`, `null`):                                                `not a valid regular expression`,
		request(`{"fact":[{"fact":"os.name","operator":"===","value":"x"}]}`, `null`):          `is not a valid fact filter`,
		request(`{"fact":[{"fact":"os.name","operator":"","value":"x"}]}`, `null`):             `is not a valid fact filter`,
		request(`{"fact":[{"fact":"","operator":"==","value":"x"}]}`, `null`):                  `is not a valid fact filter`,
		request(`{"fact":"os.name=x"}`, `null`):                                                `cannot unmarshal string`,
		request(`{}`, `{"sate":"up"}`):                                                         `--do sate is unknown; give one of [command server state]`,
		request(`{"identity":[""]}`, `null`):                                                   `a filter of the kind "identity" is empty`,
		request(`{"cf_class":["apache",""]}`, `null`):                                          `a filter of the kind "cf_class" is empty`,
		request(`{"agent":[""]}`, `null`):                                                      `a filter of the kind "agent" is empty`,
		request(`{"compund":[[{"expr":"x"}]]}`, `null`):                                        `filters of the kind "compund" are not supported`,
		request(`{}`, `{"state":"dead"}`):                                                      `state="dead" is not a state`,
		request(`{}`, `{"server":"127.0.0.1:1"}`):                                              `no appliance answers at http://127.0.0.1:1`,
		strings.Replace(request(`{}`, `null`), `"federations":null`, `"federations":["a"]`, 1): `federations are not supported`,
	} {
		if nodes, failure := discovered(t, text, "--server", console); len(nodes) > 0 || !strings.Contains(failure, want) {
			t.Errorf("%s: %d nodes, error %q; want %q", text, len(nodes), failure, want)
		}
	}
	if nodes, failure := discovered(t, request(`{}`, `{"state":"up,late"}`), "--server", console); len(nodes) != 13 || failure != "" {
		t.Errorf("state=up,late: %v %s", nodes, failure)
	}
	many := make([]string, 3*maxIdentities) // of which one is here
	for i := range many {
		many[i] = fmt.Sprintf("node%05d.example.net", i+12)
	}
	filter, _ := json.Marshal(choria.Filter{Identities: many})
	if nodes, failure := discovered(t, request(string(filter), `null`), "--server", console); len(nodes) != 1 || failure != "" {
		t.Errorf("many identities: %v %s", nodes, failure)
	}
	if status, _, errOut := muster(t, "discover"); status != 2 || !strings.Contains(errOut, "Choria runs this") {
		t.Errorf("without files: %d %s", status, errOut)
	}
}
