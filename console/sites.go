package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/muster-appliance/muster/fleet"
)

// SiteView is the part of the fleet view that knows sites.
type SiteView interface {
	Sites() []fleet.SiteStatus // that of this appliance first
	Site(name string) (status fleet.SiteStatus, known bool)
	Named(name string) []fleet.NodeStatus // the nodes of that name, at most one of each site
}

// Sites is the answer of /api/v1/sites.
type Sites struct {
	Sites []fleet.SiteStatus `json:"sites"` // that of this appliance first, the others in the order of names
}

func (a *api) sites(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, Sites{a.opts.Sites.Sites()})
}

func (a *api) site(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	status, known := a.opts.Sites.Site(name)
	if !known {
		writeError(w, CodeNotFound, fmt.Sprintf("no site %q forwards to this appliance; see [broker.sites]", name))
		return
	}
	writeJSON(w, status)
}

// nodeID returns the node that a request is for: the one of the name in the path, at the site in the parameter
// site. Without the parameter, only one site may have a node of that name. If ok is false, the request is answered.
func (a *api) nodeID(w http.ResponseWriter, r *http.Request) (id fleet.NodeID, ok bool) {
	values, err := parseParams(r)
	if err == nil {
		err = checkSiteParam(values)
	}
	if err != nil {
		writeError(w, CodeBadRequest, err.Error())
		return id, false
	}
	id = fleet.NodeID{Site: values.Get("site"), Name: r.PathValue("name")}
	if id.Site != "" {
		return id, true
	}
	if named := a.opts.Sites.Named(id.Name); len(named) > 1 {
		writeAmbiguous(w, id.Name, named)
		return id, false
	}
	return id, true
}

// checkSiteParam refuses any parameter but one site.
func checkSiteParam(values url.Values) error {
	for name, given := range values {
		switch {
		case name != "site":
			return fmt.Errorf("unknown parameter %q; a node can be selected by its name and site", name)
		case len(given) > 1:
			return fmt.Errorf("site is given %d times; give it once", len(given))
		}
	}
	return nil
}

// writeAmbiguous answers that several sites have a node of a name, and which ones.
func writeAmbiguous(w http.ResponseWriter, name string, named []fleet.NodeStatus) {
	answer := Error{Code: CodeAmbiguousNode}
	for _, n := range named {
		answer.Sites = append(answer.Sites, n.Site)
	}
	answer.Message = fmt.Sprintf("several sites have a node %q: %s", name, strings.Join(answer.Sites, ", "))
	answer.write(w)
}
