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

// discovered runs the command as Choria does, and returns the nodes and the error of the reply.
func discovered(t *testing.T, request string, flags ...string) (nodes []string, failure string) {
	t.Helper()
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "request"), filepath.Join(dir, "reply")}
	for i, text := range []string{request, ""} {
		if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const protocol = "io.choria.choria.discovery.v1.external_request"
	args := append(append([]string{"discover"}, flags...), files[0], files[1], protocol)
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
	err = json.Unmarshal(text, &reply)
	if err != nil || reply.Protocol != "io.choria.choria.discovery.v1.external_reply" || reply.Nodes == nil {
		t.Fatalf("%s: the reply is %s", request, text)
	}
	return *reply.Nodes, reply.Error
}

// request returns a request of Choria, with a filter and options as JSON.
func request(filter, options string) string {
	return `{"$schema":"https://choria.io/schemas/choria/discovery/v1/external_request.json",` +
		`"protocol":"io.choria.choria.discovery.v1.external_request",` +
		`"timeout":10,"collective":"mcollective","federations":null,"options":` + options + `,"filter":` + filter + `}`
}

// factFilter returns a filter on facts, as JSON.
func factFilter(conditions ...string) string {
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

// discoverNodes is how many nodes TestDiscover_FindsNodesAsChoriaDoes registers. The last has a fact
// of each type; of the others every second pair registers a whole inventory, and the rest facts only.
const discoverNodes = 13

func hasInventory(i int) bool { return i%4 >= 2 }

func TestDiscover_FindsNodesAsChoriaDoes(t *testing.T) {
	config := fastLabConfig(t, "index = ['os.name', 'os.release.major', 'processors.count', "+
		"'processors.models.0', 'role', "+
		"'nothing', 'os', 'virtual', 'bare', 'load', 'whole', 'below', 'none', 'disks', 'disks.1', 'disks.#', "+
		"'empty', 'a\\.b']\n")
	p := startProcess(t, config)
	connectNodes(t, p.broker, discoverNodes-1, simnode.NodeOptions{})
	registerTyped(t, p.broker, discoverNodes-1)
	wait.Eventually(t, func() error {
		if s := summary(t, p.console); s.States[fleet.Up] != discoverNodes {
			return fmt.Errorf("%v", s.States)
		}
		return nil
	})
	t.Run("filters", func(t *testing.T) { testDiscoverFilters(t, p.console) })
	t.Run("errors", func(t *testing.T) { testDiscoverErrors(t, p.console) })
	t.Run("states", func(t *testing.T) {
		nodes, failure := discovered(t, request(`{}`, `{"state":"up,late"}`), "--server", p.console)
		if len(nodes) != discoverNodes || failure != "" {
			t.Errorf("%v %s", nodes, failure)
		}
	})
	t.Run("another collective", func(t *testing.T) {
		other := strings.Replace(request(`{}`, `null`), `"collective":"mcollective"`, `"collective":"ams"`, 1)
		nodes, failure := discovered(t, other, "--server", p.console)
		var want []string
		for i := range discoverNodes {
			if !hasInventory(i) { // its collectives are not known
				want = append(want, fmt.Sprintf("node%05d.example.net", i))
			}
		}
		if failure != "" || !slices.Equal(nodes, want) {
			t.Errorf("%v %s; want %v", nodes, failure, want)
		}
	})
	t.Run("many identities", func(t *testing.T) {
		many := make([]string, 3*maxIdentities) // of which one exists
		for i := range many {
			many[i] = fmt.Sprintf("node%05d.example.net", i+discoverNodes-1)
		}
		filter, _ := json.Marshal(choria.Filter{Identities: many})
		nodes, failure := discovered(t, request(string(filter), `null`), "--server", p.console)
		if len(nodes) != 1 || failure != "" {
			t.Errorf("%v %s", nodes, failure)
		}
	})
	t.Run("inventory file", func(t *testing.T) { testInventoryFile(t, p.console) })
	t.Run("flat file", func(t *testing.T) {
		status, out, errOut := muster(t, "nodes", "--format", "flatfile", "--identity", "/0000[12]/", "--server", p.console)
		if status != 0 || out != "node00001.example.net\nnode00002.example.net\n" || errOut != "" {
			t.Errorf("%d %s%s", status, out, errOut)
		}
	})
}

// Nodes that are down, stopped or not registered are found only if their states are chosen.
func TestDiscover_SkipsNodesThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	server := fiveNodes().open(t, "")
	for states, want := range map[string][]string{
		`null`:                            {"web1.example.net", "web2.example.net"}, // late, up
		`{"state":"down,stopped"}`:        {"db1.example.net", "db2.example.net"},
		`{"state":"connected"}`:           {"web3.example.net"},
		`{"state":"up,down,connected"}`:   {"db1.example.net", "web2.example.net", "web3.example.net"},
		`{"command":"muster","state":""}`: {"web1.example.net", "web2.example.net"},
	} {
		t.Run(states, func(t *testing.T) {
			nodes, failure := discovered(t, request(`{}`, states), "--server", server)
			if !slices.Equal(nodes, want) || failure != "" {
				t.Errorf("%v %s, want %v", nodes, failure, want)
			}
		})
	}
}

func TestDiscover_WithoutFiles(t *testing.T) {
	if status, _, errOut := muster(t, "discover"); status != 2 || !strings.Contains(errOut, "Choria runs this") {
		t.Errorf("%d %s", status, errOut)
	}
}

// testDiscoverFilters compares discovery with Choria's own matching of the same filters.
func testDiscoverFilters(t *testing.T, console string) {
	filters := discoverFilters()
	if len(filters) < 60 {
		t.Fatalf("%d filters", len(filters))
	}
	for filter, matches := range filters {
		t.Run(filter, func(t *testing.T) {
			var want []string
			for i := range discoverNodes {
				if matches(i) {
					want = append(want, fmt.Sprintf("node%05d.example.net", i))
				}
			}
			have, failure := discovered(t, request(filter, `{"command":"muster discover"}`), "--server", console)
			if failure != "" || !slices.Equal(have, want) {
				t.Errorf("%v %s; want %v", have, failure, want)
			}
		})
	}
}

// discoverFilters returns, for each filter, which nodes Choria would select.
func discoverFilters() map[string]func(i int) bool {
	all := func(int) bool { return true }
	none := func(int) bool { return false }
	typed := func(i int) bool { return i == discoverNodes-1 }
	inventory := hasInventory
	return map[string]func(i int) bool{
		`{}`:   all,
		`null`: all,
		`{"fact":[],"cf_class":[],"agent":[],"identity":[],"compound":[]}`: all,
		factFilter("os.name=Debian"):                                       func(i int) bool { return i%3 == 1 },
		factFilter("os.name=debian"):                                       func(i int) bool { return i%3 == 1 },
		factFilter("os.name!=debian"):                                      func(i int) bool { return i%3 != 1 },
		factFilter("os.name=~^(Deb|SL)"):                                   func(i int) bool { return i%3 > 0 },
		factFilter("os.name=/^deb/"):                                       none,
		factFilter("os.name<B"):                                            func(i int) bool { return i%3 == 0 },
		factFilter("os.name>=Debian"):                                      func(i int) bool { return i%3 > 0 },
		factFilter("os.release.major=9"):                                   all,
		factFilter("os.release.major>8"):                                   all,
		factFilter("os.release.major=9.0"):                                 none,
		factFilter("processors.count=4"):                                   func(i int) bool { return i%4 == 0 },
		factFilter("processors.count=4.0"):                                 func(i int) bool { return i%4 == 0 },
		factFilter("processors.count>8"):                                   func(i int) bool { return i%4 > 1 },
		factFilter("processors.count>=8"):                                  func(i int) bool { return i%4 > 0 },
		factFilter("processors.count<8"):                                   func(i int) bool { return i%4 == 0 },
		factFilter("processors.count<=8"):                                  func(i int) bool { return i%4 < 2 },
		factFilter("processors.count>4", "os.name=SLES"):                   func(i int) bool { return i%4 > 0 && i%3 == 2 },
		factFilter("processors.models.0=~EPYC"):                            all,
		factFilter("processors.count=many"):                                none,
		factFilter("nothing=x"):                                            none,
		factFilter("nothing!=x"):                                           none,
		factFilter("os=~Debian"):                                           none,
		factFilter("virtual=true"):                                         typed,
		factFilter("virtual==Yes"):                                         typed,
		factFilter("virtual!=0"):                                           typed,
		factFilter("virtual=maybe"):                                        none,
		factFilter("virtual>=1"):                                           none,
		factFilter("bare=f"):                                               typed,
		factFilter("bare!=n"):                                              none,
		factFilter("load=0.75"):                                            typed,
		factFilter("load=0"):                                               typed, // as integers
		factFilter("load<0.8", "load>0.7"):                                 typed,
		factFilter("load=~^0.7500$"):                                       typed,
		factFilter("whole==2"):                                             typed,
		factFilter("below<0"):                                              typed,
		factFilter("below>-3"):                                             none,
		factFilter("below<=-2.5"):                                          typed,
		factFilter("none=null"):                                            none,
		factFilter("none!=x"):                                              none,
		factFilter("disks=sda"):                                            none,
		factFilter("disks=~sda"):                                           none,
		factFilter("disks.1=SDB"):                                          typed,
		factFilter("disks.#=2"):                                            typed,
		factFilter("empty!=x"):                                             typed,
		factFilter("empty=~^$"):                                            typed,
		factFilter(`a\.b=c`):                                               typed,
		factFilter("virtual=t", "os.name=AlmaLinux", "below=-3"):           typed,
		factFilter("virtual=t", "os.name=Debian"):                          none,
		`{"identity":["node00003.example.net"]}`:                           func(i int) bool { return i == 3 },
		`{"identity":["NODE00003.example.net"]}`:                           none,
		`{"identity":["nobody","/0000[12]/"]}`:                             func(i int) bool { return i == 1 || i == 2 },
		`{"identity":["/^NODE/"]}`:                                         none,
		`{"cf_class":["role::web"]}`:                                       inventory,
		`{"cf_class":["ROLE::WEB","/^PROFILE/"]}`:                          inventory,
		`{"cf_class":["role::web","role::db"]}`:                            none,
		`{"cf_class":["/db|base/"]}`:                                       inventory,
		`{"agent":["rpcutil"]}`:                                            inventory,
		`{"agent":["/rpc.*/"]}`:                                            inventory,
		`{"agent":["puppet"]}`:                                             none,
		`{"agent":["rpcutil"],"identity":["/[02468][.]/"]}`: func(i int) bool {
			return inventory(i) && i%2 == 0
		},
		`{"agent":["rpcutil"],"cf_class":["role::web"],` +
			`"fact":[{"fact":"role","operator":"==","value":"queue"}]}`: func(i int) bool {
			return inventory(i) && i%5 == 2
		},
	}
}

// testInventoryFile compares Choria's inventory file with what the nodes registered.
func testInventoryFile(t *testing.T, console string) {
	args := []string{"nodes", "--format", "inventory", "--where", "os.name=AlmaLinux", "--server", console}
	status, out, errOut := muster(t, args...)
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
	err := json.Unmarshal([]byte(out), &file)
	if status != 0 || err != nil || errOut != "" || len(file.Nodes) != 5 ||
		file.Schema != "https://choria.io/schemas/choria/discovery/v1/inventory_file.json" {
		t.Fatalf("%d %v %s%s", status, err, out, errOut)
	}
	for at, n := range file.Nodes {
		i := at * 3
		if n.Name != fmt.Sprintf("node%05d.example.net", i) || n.Facts.OS.Name != "AlmaLinux" ||
			!slices.Equal(n.Collectives, []string{"mcollective"}) ||
			(len(n.Facts.Packages) > 0) != (i < discoverNodes-1) ||
			slices.Contains(n.Agents, "rpcutil") != hasInventory(i) ||
			slices.Contains(n.Classes, "role::web") != hasInventory(i) {
			t.Errorf("%+v", n)
		}
	}
}

// registerTyped registers a node that has a fact of each type, and those that the others have.
func registerTyped(t *testing.T, broker string, index int) {
	t.Helper()
	facts := fmt.Appendf(nil, `{"os":{"name":"AlmaLinux","release":{"major":"9"}},`+
		`"processors":{"count":4,"models":["AMD EPYC"]},"role":"queue",`+
		`"virtual":true,"bare":false,"load":0.75,"whole":2.0,"below":-3,"none":null,`+
		`"disks":["sda","sdb"],"empty":"","a.b":"C"}`)
	registerFacts(t, broker, fmt.Sprintf("node%05d.example.net", index), facts)
}

// registerFacts registers the facts of a node, one registration after the other. The node stays
// connected until the test ends.
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

// testDiscoverErrors sends requests that must be answered with an error, never with nodes.
func testDiscoverErrors(t *testing.T, console string) {
	const notFilter = `not a valid fact filter`
	federated := strings.Replace(request(`{}`, `null`), `"federations":null`, `"federations":["a"]`, 1)
	for _, test := range []struct{ request, want string }{
		{``, `malformed`},
		{`[]`, `cannot unmarshal array`},
		{`{}`, `the protocol is ""`},
		{`{"x`, `malformed`},
		{"\xff", `not-utf8`},
		{
			request(factFilter("os.family=Debian"), `null`),
			`the fact "os.family" is not indexed; fleet.index lists os.name`,
		},
		{request(`{"compound":[[{"expr":"with('apache')"}]]}`, `null`), `compound filters are not supported`},
		{request(`{"identity":["/(/"]}`, `null`), `not a valid regular expression`},
		{request(`{"cf_class":["/[/"]}`, `null`), `not a valid regular expression`},
		{request(`{"fact":[{"fact":"os.name","operator":"===","value":"x"}]}`, `null`), notFilter},
		{request(`{"fact":[{"fact":"os.name","operator":"","value":"x"}]}`, `null`), notFilter},
		{request(`{"fact":[{"fact":"","operator":"==","value":"x"}]}`, `null`), notFilter},
		{request(`{"fact":"os.name=x"}`, `null`), `cannot unmarshal string`},
		{request(`{}`, `{"sate":"up"}`), `--do sate is unknown; give one of [command server state site]`},
		{request(`{"identity":[""]}`, `null`), `a filter of the kind "identity" is empty`},
		{request(`{"cf_class":["apache",""]}`, `null`), `a filter of the kind "cf_class" is empty`},
		{request(`{"agent":[""]}`, `null`), `a filter of the kind "agent" is empty`},
		{request(`{"compund":[[{"expr":"x"}]]}`, `null`), `filters of the kind "compund" are not supported`},
		{request(`{}`, `{"state":"dead"}`), `state="dead" is not a state`},
		{request(`{}`, `{"server":"127.0.0.1:1"}`), `no appliance answers at http://127.0.0.1:1`},
		{federated, `federations are not supported`},
	} {
		t.Run(test.request, func(t *testing.T) {
			nodes, failure := discovered(t, test.request, "--server", console)
			if len(nodes) > 0 || !strings.Contains(failure, test.want) {
				t.Errorf("%d nodes, error %q; want %q", len(nodes), failure, test.want)
			}
		})
	}
}

// A request reaches only nodes that are connected to this appliance.
func TestDiscover_FindsNodesOfOtherSitesOnlyIfChosen(t *testing.T) {
	server := aHub().open(t, "")
	for options, want := range map[string]string{
		`{}`:                     "web1.example.net web2.example.net",
		`{"site":"fra"}`:         "web2.example.net",
		`{"site":"fra,ams,nyc"}`: "web1.example.net web2.example.net web5.example.net",
	} {
		t.Run(options, func(t *testing.T) {
			nodes, failure := discovered(t, request(factFilter(), options), "--server", server)
			slices.Sort(nodes)
			if have := strings.Join(slices.Compact(nodes), " "); have != want || failure != "" {
				t.Errorf("%s %s; want %s", have, failure, want)
			}
		})
	}
}
