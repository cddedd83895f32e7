package console

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/fleet"
)

// manyNodes is a fleet of which only one batch is in memory at a time.
type manyNodes struct {
	twoNodes
	nodes    int
	maxLimit int // the largest limit that was asked for
}

func (m *manyNodes) Nodes(q fleet.Query) (page fleet.Page, err error) {
	m.maxLimit = max(m.maxLimit, q.Limit)
	first := 0
	if q.After != "" {
		first, _ = strconv.Atoi(q.After)
		first++
	}
	for n := first; n < min(first+q.Limit, m.nodes); n++ {
		page.Nodes = append(page.Nodes, fleet.NodeStatus{Name: fmt.Sprintf("%07d", n), State: fleet.Up})
	}
	if first+q.Limit < m.nodes {
		page.Next = page.Nodes[q.Limit-1].Name
	}
	return page, nil
}

// lineCounter counts the lines of an answer and discards them. Every 50 000 lines it measures the
// heap.
type lineCounter struct {
	http.ResponseWriter
	lines, nextSample int
	maxHeap           uint64 // bytes
}

func (c *lineCounter) Write(data []byte) (int, error) {
	c.lines += bytes.Count(data, []byte("\n"))
	if c.lines >= c.nextSample {
		c.nextSample += 50_000
		c.maxHeap = max(c.maxHeap, heapInUse())
	}
	return len(data), nil
}

// heapInUse returns the bytes of live objects.
func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// Not parallel: it measures the heap.
func TestNodes_WholeFleetIsWrittenInBatches(t *testing.T) {
	for query, lines := range map[string]int{
		"format=csv": 300_001, "format=jsonl": 300_000, "format=names&limit=2500": 2500,
	} {
		t.Run(query, func(t *testing.T) {
			m := &manyNodes{nodes: 300_000}
			w := &lineCounter{ResponseWriter: httptest.NewRecorder()}
			before := heapInUse()
			newHandler(Options{Fleet: m, Registrations: m, Events: m}).
				ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/nodes?"+query, nil))
			if w.lines != lines || m.maxLimit != batchSize {
				t.Errorf("%d lines, %d nodes in a batch", w.lines, m.maxLimit)
			}
			if limit := before + 4<<20; w.maxHeap > limit { // all nodes together are thirty times that
				t.Errorf("%d bytes in memory, %d before", w.maxHeap, before)
			}
			t.Logf("at most %d KiB more in memory than before", (int64(w.maxHeap)-int64(before))>>10)
		})
	}
}

// webNodes is a fleet of the nodes from web<first> to web9. Inventories of web8 and web9 cannot be
// read.
type webNodes struct {
	twoNodes
	first int
}

func (f webNodes) Nodes(fleet.Query) (page fleet.Page, err error) {
	for n := f.first; n < 10; n++ {
		page.Nodes = append(page.Nodes, fleet.NodeStatus{Name: fmt.Sprintf("web%d", n)})
	}
	return page, nil
}

// An answer that fails midway must not look complete to the client; one that fails before it has
// begun is an API error.
func TestNodes_IncompleteAnswerIsAborted(t *testing.T) {
	for _, test := range []struct {
		name    string
		first   int // node
		want    string
		status  int
		aborted bool
	}{
		{"fails midway", 0, "unexpected EOF", http.StatusOK, true},
		{"fails at once", 8, "the stream is gone", http.StatusServiceUnavailable, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(newHandler(Options{Fleet: &webNodes{first: test.first}, Registrations: twoNodes{}}))
			t.Cleanup(server.Close)
			response, err := http.Get(server.URL + "/api/v1/nodes?format=inventory")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if have := fmt.Sprint(string(body), err); !strings.Contains(have, test.want) ||
				response.StatusCode != test.status || test.aborted != (err != nil) {
				t.Errorf("%s %s", response.Status, have)
			}
		})
	}
}
