package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
)

const (
	maxNodes     = 10_000 // limit=, in every format but json
	maxPageNodes = 1000   // limit= in the format json: a page is built in memory
	defaultNodes = 100    // on a page in the format json, without limit=
)

// nodeQuery is what the parameters of /api/v1/nodes select, and how to write it.
type nodeQuery struct {
	fleet.Query
	format string // one of formats
}

// nodeParams maps each parameter to the function that reads one of its values. Any other
// parameter is an error: a misspelled filter would select every node.
var nodeParams = map[string]func(q *nodeQuery, value string) error{
	"state": func(q *nodeQuery, value string) error {
		if !slices.Contains(fleet.States, fleet.State(value)) {
			return fmt.Errorf("state=%q is not a state; give one of %v", value, fleet.States)
		}
		q.States = append(q.States, fleet.State(value))
		return nil
	},
	"where": func(q *nodeQuery, value string) error {
		filter, err := choria.ParseFactFilter(value)
		q.Where = append(q.Where, filter)
		return err
	},
	"limit": func(q *nodeQuery, value string) (err error) {
		if q.Limit, err = strconv.Atoi(value); err != nil || q.Limit < 1 || q.Limit > maxNodes {
			return fmt.Errorf("limit=%q is not a number from 1 to %d", value, maxNodes)
		}
		return nil
	},
	"format": func(q *nodeQuery, value string) error {
		if q.format = value; !slices.Contains(formats, value) {
			return fmt.Errorf("format=%q is not a format; give one of %v", value, formats)
		}
		return nil
	},
	"site":     func(q *nodeQuery, value string) error { q.Sites = append(q.Sites, value); return nil },
	"identity": func(q *nodeQuery, value string) error { q.Identities = append(q.Identities, value); return nil },
	"class":    func(q *nodeQuery, value string) error { q.Classes = append(q.Classes, value); return nil },
	"collective": func(q *nodeQuery, value string) error {
		q.Collectives = append(q.Collectives, value)
		return nil
	},
	"agent": func(q *nodeQuery, value string) error { q.Agents = append(q.Agents, value); return nil },
	"text":  func(q *nodeQuery, value string) error { q.Text = value; return nil },
	"sort":  func(q *nodeQuery, value string) error { q.Sort = fleet.Sort(value); return nil },
	"after": func(q *nodeQuery, value string) error { q.After = value; return nil },
}

// singleParams are the parameters that may be given once; the others are repeatable.
var singleParams = []string{"limit", "format", "text", "sort", "after"}

// parseNodeQuery reads the parameters of /api/v1/nodes. An empty value counts as not given.
func parseNodeQuery(values url.Values) (nodeQuery, error) {
	q := nodeQuery{format: "json"}
	for name, given := range values {
		parse, ok := nodeParams[name]
		switch {
		case !ok:
			return q, fmt.Errorf("unknown parameter %q; nodes can be selected by %s", name, strings.Join(paramNames(), ", "))
		case slices.Contains(singleParams, name) && len(given) > 1:
			return q, fmt.Errorf("%s is given %d times; give it once", name, len(given))
		}
		for _, value := range given {
			if value == "" {
				continue
			}
			if err := parse(&q, value); err != nil {
				return q, err
			}
		}
	}
	switch {
	case q.format != "json":
	case q.Limit > maxPageNodes:
		return q, fmt.Errorf("limit=%d is more than a page holds, %d nodes; format=jsonl takes up to %d",
			q.Limit, maxPageNodes, maxNodes)
	case q.Limit == 0:
		q.Limit = defaultNodes
	}
	return q, nil
}

func paramNames() []string {
	var names []string
	for name := range nodeParams {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
