package fleet

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFleet_NodesSortsByTime(t *testing.T) {
	f := newIndexedFleet(t, 100)
	for sort, want := range map[Sort][]string{
		"received":  {nodeName(0), nodeName(1), nodeName(2)},
		"-received": {nodeName(99), nodeName(98), nodeName(97)},
		"name":      {nodeName(0), nodeName(1), nodeName(2)},
	} {
		t.Run(string(sort), func(t *testing.T) {
			page, err := f.Nodes(Query{Sort: sort, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range page.Nodes {
				got = append(got, n.Name)
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

func TestFleet_NodesBoundsWorkOfPage(t *testing.T) {
	f := newIndexedFleet(t, maxWork+100)
	for label, test := range map[string]struct {
		q            Query
		nodes, pages int
	}{
		"one expression":  {Query{Identities: []string{"/^node0000[12][.]/"}}, 2, 2},
		"two expressions": {Query{Identities: []string{"/^node32[0-9]{3}5[.]/", "/^node0000[12][.]/"}}, 2, 3},
		"names":           {Query{Identities: []string{nodeName(3), nodeName(maxWork), "unknown"}}, 2, 1},
		"few values":      {Query{Where: parseWhere(t, "os.name=none")}, 0, 1},
		"many values":     {Query{Where: parseWhere(t, "serial=S32770")}, 1, 2},
		"many, twice":     {Query{Where: parseWhere(t, "serial=~S", "serial=S32770")}, 1, 3},
	} {
		t.Run(label, func(t *testing.T) {
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
				t.Errorf("%d nodes on %d pages, want %d on %d", nodes, pages, test.nodes, test.pages)
			}
		})
	}
}

// While nodes come, go and register, a client that pages sees each node that stays exactly once,
// and the numbers of every summary add up.
func TestFleet_NodesPagesWhileNodesChange(t *testing.T) {
	const nodes = 20_000
	f := newIndexedFleet(t, nodes)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for round := 1; ; round++ {
			at := time.Unix(1_000_000+int64(round), 0)
			for n := 0; n < nodes; n += 10 {
				select {
				case <-stop:
					return
				default:
				}
				f.withRegistry(func(r *registry, now time.Time) { r.setState(r.nodes[nodeName(n)], Forgotten, now) })
				f.registerIndexed(n+1, at)
				f.registerIndexed(nodes+round*nodes+n, time.Unix(1_000_000, 0))
				f.registerIndexed(n, at)
			}
		}
	})
	for range 3 {
		seen := seenOnPages(t, f)
		for n := range nodes {
			if times := seen[nodeName(n)]; times > 1 || n%10 != 0 && times != 1 {
				t.Fatalf("%s is seen %d times", nodeName(n), times)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// seenOnPages returns how many times each node is on the pages of all nodes, and checks a
// summary beside each page.
func seenOnPages(t *testing.T, f *Fleet) map[string]int {
	t.Helper()
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
			return seen
		}
	}
}

// unknownNames returns 500 names that no node has.
func unknownNames() (names []string) {
	for n := range 500 {
		names = append(names, "unknown"+nodeName(n))
	}
	return names
}

// BenchmarkNodes asks for pages of a large fleet. The slowest are those that few nodes match.
func BenchmarkNodes(b *testing.B) {
	f := newIndexedFleet(b, benchNodes)
	for n := range benchNodes { // the order of times differs from the order of names
		f.registerIndexed(n, time.Unix(1_001_000, int64(n)*7919%benchNodes*1e6))
	}
	f.withRegistry(func(r *registry, now time.Time) { r.setState(r.nodes[nodeName(benchNodes/2)], Down, now) })
	for _, bench := range []struct {
		label string
		q     Query
	}{
		{"first-page", Query{Limit: 100}},
		{"last-page", Query{Limit: 100, After: "node9999"}},
		{"one-down", Query{Limit: 100, States: []State{Down}}},
		{"fact-of-none", Query{Limit: 100, Where: parseWhere(b, "os.name=Plan9")}},
		{"class-of-none", Query{Limit: 100, Classes: []string{"/nginx/"}}},
		{"text-of-none", Query{Limit: 100, Text: "unknown"}},
		{"pattern-of-none", Query{Limit: 100, Identities: []string{"/^unknown[0-9]+/"}}},
		{fmt.Sprintf("fact-of-%d-values", benchNodes), Query{Limit: 100, Where: parseWhere(b, "serial=none")}},
		{fmt.Sprintf("expression-on-%d-values", benchNodes), Query{Limit: 100, Where: parseWhere(b, "serial=~none")}},
		{"500-names", Query{Limit: 100, Identities: unknownNames()}},
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
