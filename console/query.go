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
	// mostNodes is how many can be asked for, mostOnPage how many of them on a page, which is
	// made as a whole; usualNodes come without being asked for.
	mostNodes  = 10_000
	mostOnPage = 1000
	usualNodes = 100
)

// asked is what a URL asks about nodes.
type asked struct {
	fleet.Query
	format string // of formats
}

// keys are what a URL may say, each as often as given. A key that is not among them is an
// error: a filter that is misspelt would select everybody.
var keys = map[string]func(a *asked, value string) error{
	"state": func(a *asked, value string) error {
		if !slices.Contains(fleet.States, fleet.State(value)) {
			return fmt.Errorf("%q is no state; a node is one of %v", value, fleet.States)
		}
		a.States = append(a.States, fleet.State(value))
		return nil
	},
	"where": func(a *asked, value string) error {
		condition, err := choria.ParseFactFilter(value)
		a.Where = append(a.Where, condition)
		return err
	},
	"limit": func(a *asked, value string) (err error) {
		if a.Limit, err = strconv.Atoi(value); err != nil || a.Limit < 1 || a.Limit > mostNodes {
			return fmt.Errorf("limit: want a number from 1 to %d", mostNodes)
		}
		return nil
	},
	"format": func(a *asked, value string) error {
		if a.format = value; !slices.Contains(formats, value) {
			return fmt.Errorf("%q is no format; want one of %v", value, formats)
		}
		return nil
	},
	"site":     func(a *asked, value string) error { a.Sites = append(a.Sites, value); return nil },
	"identity": func(a *asked, value string) error { a.Identities = append(a.Identities, value); return nil },
	"class":    func(a *asked, value string) error { a.Classes = append(a.Classes, value); return nil },
	"agent":    func(a *asked, value string) error { a.Agents = append(a.Agents, value); return nil },
	"text":     func(a *asked, value string) error { a.Text = value; return nil },
	"sort":     func(a *asked, value string) error { a.Sort = fleet.Sort(value); return nil },
	"after":    func(a *asked, value string) error { a.After = value; return nil },
}

// once are the keys that have one value.
var once = []string{"limit", "format", "text", "sort", "after"}

// parseQuery reads what a URL asks. An empty value is as good as none.
func parseQuery(values url.Values) (asked, error) {
	a := asked{format: "json"}
	for key, given := range values {
		set, ok := keys[key]
		switch {
		case !ok:
			return a, fmt.Errorf("%q is nothing that nodes can be asked by; %s are", key, strings.Join(known(), ", "))
		case slices.Contains(once, key) && len(given) > 1:
			return a, fmt.Errorf("%s is given %d times", key, len(given))
		}
		for _, value := range given {
			if value == "" {
				continue
			}
			if err := set(&a, value); err != nil {
				return a, err
			}
		}
	}
	switch {
	case a.format != "json":
	case a.Limit > mostOnPage:
		return a, fmt.Errorf("limit: a page has at most %d nodes; format=jsonl has more", mostOnPage)
	case a.Limit == 0:
		a.Limit = usualNodes
	}
	return a, nil
}

func known() []string {
	var names []string
	for key := range keys {
		names = append(names, key)
	}
	slices.Sort(names)
	return names
}
