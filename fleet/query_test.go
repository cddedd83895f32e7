package fleet

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// shelf is a fleet of nodes that nothing feeds. Every tenth of them is a database, and each has
// a serial number.
func shelf(tb testing.TB, nodes int) *Fleet {
	tb.Helper()
	cfg := DefaultConfig()
	cfg.Index = []string{"os.name", "cores", "serial"}
	now := time.Unix(1_000_000, 0)
	f := New(cfg, Options{Site: "ams", Now: func() time.Time { return now }})
	f.registry = newRegistry(cfg.Rules(now), cfg.StormShare, func(*Event) {})
	for n := range nodes {
		f.put(tb, n, now.Add(time.Duration(n)*time.Millisecond))
	}
	return f
}

func (f *Fleet) put(tb testing.TB, n int, received time.Time) {
	tb.Helper()
	found := choria.Inventory{Classes: []string{"role::web"}, Facts: fmt.Appendf(nil, `{"os":{"name":"Debian"},"cores":8,"serial":"S%d"}`, n)}
	if n%10 == 0 {
		found = choria.Inventory{Classes: []string{"role::db", "Backup"}, Facts: fmt.Appendf(nil, `{"os":{"name":"Fedora"},"cores":32,"serial":"S%d"}`, n)}
	}
	f.withRegistry(func(r *registry, now time.Time) {
		r.registered(update{name: name(n), site: "ams", received: received, facts: f.index.pick(&found)}, now)
	})
}

func where(tb testing.TB, conditions ...string) (filters []choria.FactFilter) {
	tb.Helper()
	for _, text := range conditions {
		f, err := choria.ParseFactFilter(text)
		if err != nil {
			tb.Fatal(err)
		}
		filters = append(filters, f)
	}
	return filters
}

func TestAQuerySelectsWhatMeetsAllOfIt(t *testing.T) {
	f := shelf(t, 100)
	for label, test := range map[string]struct {
		q    Query
		want int
	}{
		"all":                 {Query{}, 100},
		"state":               {Query{States: []State{Up}}, 100},
		"states":              {Query{States: []State{Down, Late}}, 0},
		"site":                {Query{Sites: []string{"lon", "ams"}}, 100},
		"another site":        {Query{Sites: []string{"lon"}}, 0},
		"text":                {Query{Text: name(5)[:len(name(5))-1]}, 0},
		"name":                {Query{Identities: []string{name(7)}}, 1},
		"names":               {Query{Identities: []string{name(7), name(8), "nobody"}}, 2},
		"pattern":             {Query{Identities: []string{"/0[.]/", name(7)}}, 11},
		"fact":                {Query{Where: where(t, "os.name=fedora")}, 10},
		"facts":               {Query{Where: where(t, "os.name=debian", "cores<10")}, 90},
		"facts apart":         {Query{Where: where(t, "os.name=debian", "cores>10")}, 0},
		"class":               {Query{Classes: []string{"backup"}}, 10},
		"class and fact":      {Query{Classes: []string{"/^role/"}, Where: where(t, "cores=32")}, 10},
		"no agent":            {Query{Agents: []string{"/.*/"}}, 0},
		"pattern and limited": {Query{Identities: []string{"/0[.]/"}, Limit: 4}, 4},
	} {
		if label == "text" {
			test.want = 0
			for n := range 100 {
				if strings.Contains(name(n), test.q.Text) {
					test.want++
				}
			}
		}
		page, err := f.Nodes(test.q)
		if err != nil || len(page.Nodes) != test.want || (page.Next != "") != (test.q.Limit > 0) {
			t.Errorf("%s: %d nodes, next %q, %v; want %d", label, len(page.Nodes), page.Next, err, test.want)
		}
	}
}

func TestWhatCannotBeAskedIsSaid(t *testing.T) {
	f, blind := shelf(t, 3), New(DefaultConfig(), Options{Now: time.Now})
	for want, q := range map[string]Query{
		`"role" is not indexed; fleet.index lists os.name, cores`: {Where: where(t, "role=web")},
		`is not a valid regular expression`:                       {Identities: []string{"/(/"}},
		`sort=size is not valid`:                                  {Sort: "size"},
		`sort=since returns one page`:                             {Sort: "since", After: "web1", Limit: 5},
		`sort=received returns one page and needs limit`:          {Sort: "received"},
	} {
		if _, err := f.Nodes(q); !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := blind.Nodes(Query{Classes: []string{"apache"}}); !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), "list facts in fleet.index") {
		t.Errorf("without an index: %v", err)
	}
}

func TestTheFirstOfAnOrder(t *testing.T) {
	f := shelf(t, 100)
	for sort, want := range map[Sort]string{
		"received":  name(0) + " " + name(1) + " " + name(2),
		"-received": name(99) + " " + name(98) + " " + name(97),
		"name":      name(0) + " " + name(1) + " " + name(2),
	} {
		page, err := f.Nodes(Query{Sort: sort, Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, n := range page.Nodes {
			have = append(have, n.Name)
		}
		if strings.Join(have, " ") != want {
			t.Errorf("%s: %v", sort, have)
		}
	}
}

func TestAPageTakesSoMuchWorkAndNoMore(t *testing.T) {
	f := shelf(t, maxWork+100)
	for label, test := range map[string]struct {
		q            Query
		nodes, pages int
	}{
		"an expression":   {Query{Identities: []string{"/^node0000[12][.]/"}}, 2, 2},
		"two expressions": {Query{Identities: []string{"/^node32[0-9]{3}5[.]/", "/^node0000[12][.]/"}}, 2, 3},
		"names":           {Query{Identities: []string{name(3), name(maxWork), "nobody"}}, 2, 1},
		"few values":      {Query{Where: where(t, "os.name=nobody")}, 0, 1},
		"many values":     {Query{Where: where(t, "serial=S32770")}, 1, 2},
		"many, twice":     {Query{Where: where(t, "serial=~S", "serial=S32770")}, 1, 3},
	} {
		pages, nodes := 0, 0
		for test.q.Limit = 10; ; {
			page, err := f.Nodes(test.q)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			nodes += len(page.Nodes)
			if test.q.After = page.Next; test.q.After == "" {
				break
			}
		}
		if nodes != test.nodes || pages != test.pages {
			t.Errorf("%s: %d nodes on %d pages", label, nodes, pages)
		}
	}
}

// While nodes come, go and register, a walk sees each that stays exactly once, and no answer's
// counts differ from its sum.
func TestAWalkSeesWhoStaysOnce(t *testing.T) {
	const nodes = 20_000
	f := shelf(t, nodes)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // every tenth goes and comes again, others register, new ones come
		for round := 1; ; round++ {
			for n := 0; n < nodes; n += 10 {
				select {
				case <-stop:
					return
				default:
				}
				f.withRegistry(func(r *registry, now time.Time) { r.setState(r.nodes[name(n)], Forgotten, now) })
				f.put(t, n+1, time.Unix(1_000_000+int64(round), 0))
				f.put(t, nodes+round*nodes+n, time.Unix(1_000_000, 0))
				f.put(t, n, time.Unix(1_000_000+int64(round), 0))
			}
		}
	})
	for range 3 {
		seen := map[string]int{}
		q := Query{Limit: 300}
		for {
			page, err := f.Nodes(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range page.Nodes {
				seen[n.Name]++
			}
			s, sum := f.Summary(), 0
			for _, count := range s.States {
				sum += count
			}
			if sum != s.Nodes || s.Sites["ams"] != s.Nodes {
				t.Fatalf("%+v", s)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		for n := range nodes {
			if times := seen[name(n)]; times > 1 || n%10 != 0 && times != 1 {
				t.Fatalf("%s is seen %d times", name(n), times)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// BenchmarkNodes asks for pages of a large fleet. The worst is one that few nodes are on.
// fiveHundred are names that nobody has.
func fiveHundred() (names []string) {
	for n := range 500 {
		names = append(names, "nobody"+name(n))
	}
	return names
}

func BenchmarkNodes(b *testing.B) {
	f := shelf(b, benchNodes)
	for n := range benchNodes { // names and times have nothing to do with each other
		f.put(b, n, time.Unix(1_001_000, int64(n)*7919%benchNodes*1e6))
	}
	f.withRegistry(func(r *registry, now time.Time) { r.setState(r.nodes[name(benchNodes/2)], Down, now) })
	for _, bench := range []struct {
		label string
		q     Query
	}{
		{"first-page", Query{Limit: 100}},
		{"last-page", Query{Limit: 100, After: "node9999"}},
		{"one-down", Query{Limit: 100, States: []State{Down}}},
		{"fact-of-none", Query{Limit: 100, Where: where(b, "os.name=Plan9")}},
		{"class-of-none", Query{Limit: 100, Classes: []string{"/nginx/"}}},
		{"text-of-none", Query{Limit: 100, Text: "nobody"}},
		{"pattern-of-none", Query{Limit: 100, Identities: []string{"/^nobody[0-9]+/"}}},
		{"fact-of-300000-values", Query{Limit: 100, Where: where(b, "serial=nobody")}},
		{"expression-on-300000-values", Query{Limit: 100, Where: where(b, "serial=~nobody")}},
		{"500-names", Query{Limit: 100, Identities: fiveHundred()}},
		{"earliest", Query{Limit: 100, Sort: "received"}},
		{"latest", Query{Limit: 100, Sort: "-received"}},
		{"page-of-1000", Query{Limit: 1000}},
	} {
		b.Run(bench.label, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Nodes(bench.q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("summary", func(b *testing.B) {
		for b.Loop() {
			f.Summary()
		}
	})
}
