package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestQuery_SelectsNodesThatMeetAllConditions(t *testing.T) {
	f := newIndexedFleet(t, 100)
	part := nodeName(5)[:len(nodeName(5))-1]
	withPart := 0
	for n := range 100 {
		if strings.Contains(nodeName(n), part) {
			withPart++
		}
	}
	for label, test := range map[string]struct {
		q    Query
		want int
	}{
		"all":                {Query{}, 100},
		"state":              {Query{States: []State{Up}}, 100},
		"states":             {Query{States: []State{Down, Late}}, 0},
		"site":               {Query{Sites: []string{"lon", "ams"}}, 100},
		"another site":       {Query{Sites: []string{"lon"}}, 0},
		"text":               {Query{Text: part}, withPart},
		"name":               {Query{Identities: []string{nodeName(7)}}, 1},
		"names":              {Query{Identities: []string{nodeName(7), nodeName(8), "unknown"}}, 2},
		"pattern":            {Query{Identities: []string{"/0[.]/", nodeName(7)}}, 11},
		"fact":               {Query{Where: parseWhere(t, "os.name=fedora")}, 10},
		"facts":              {Query{Where: parseWhere(t, "os.name=debian", "cores<10")}, 90},
		"facts of none":      {Query{Where: parseWhere(t, "os.name=debian", "cores>10")}, 0},
		"class":              {Query{Classes: []string{"backup"}}, 10},
		"class and fact":     {Query{Classes: []string{"/^role/"}, Where: parseWhere(t, "cores=32")}, 10},
		"collective":         {Query{Collectives: []string{"db"}}, 20},
		"collectives":        {Query{Collectives: []string{"other", "mcollective"}}, 100},
		"no collective":      {Query{Collectives: []string{"MCollective"}}, 10},
		"agent":              {Query{Agents: []string{"/.*/"}}, 0},
		"pattern with limit": {Query{Identities: []string{"/0[.]/"}, Limit: 4}, 4},
	} {
		t.Run(label, func(t *testing.T) {
			page, err := f.Nodes(test.q)
			if err != nil || len(page.Nodes) != test.want || (page.Next != "") != (test.q.Limit > 0) {
				t.Errorf("%d nodes, next %q, %v; want %d", len(page.Nodes), page.Next, err, test.want)
			}
		})
	}
}

func TestQuery_ReturnsErrQueryForInvalidQuery(t *testing.T) {
	indexed, unindexed := newIndexedFleet(t, 3), New(Config{}, Options{Now: time.Now})
	for label, test := range map[string]struct {
		f    *Fleet
		q    Query
		want string
	}{
		"fact that is not indexed": {indexed, Query{Where: parseWhere(t, "role=web")},
			`"role" is not indexed; fleet.index lists os.name, cores`},
		"expression":          {indexed, Query{Identities: []string{"/(/"}}, `is not a valid regular expression`},
		"sort":                {indexed, Query{Sort: "size"}, `sort=size is not valid`},
		"second page":         {indexed, Query{Sort: "since", After: "web1", Limit: 5}, `sort=since returns one page`},
		"order without limit": {indexed, Query{Sort: "received"}, `sort=received returns one page and needs limit`},
		"class without index": {unindexed, Query{Classes: []string{"apache"}}, "list facts in fleet.index"},
	} {
		t.Run(label, func(t *testing.T) {
			if _, err := test.f.Nodes(test.q); !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}
