package broker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
)

// Sites is the [broker.sites] table: the name of the edge that forwards for a site, by site. The name is that in the
// certificate of the edge, or the identity or caller id in its token. An edge may forward for several sites.
type Sites map[string]string

// checkEdge returns an error for a text that cannot be the name of an edge.
func checkEdge(text string) error {
	if choria.CheckSender(text) != nil {
		return fmt.Errorf("%q is not a valid name of an edge; "+
			"write the name in its certificate, or the identity in its token", text)
	}
	return nil
}

// of returns the sites that an edge forwards for, sorted; none: the name is not that of an edge.
func (s Sites) of(name string) (sites []string) {
	for _, site := range slices.Sorted(maps.Keys(s)) {
		if s[site] == name {
			sites = append(sites, site)
		}
	}
	return sites
}

// names returns the names of all edges, sorted, each once.
func (s Sites) names() []string { return slices.Compact(slices.Sorted(maps.Values(s))) }

// checkSites reports names that cannot be those of sites.
func (c *Config) checkSites(check *config.Check) {
	for site := range c.Sites {
		if !contract.ValidName(site) {
			check.Problem("sites."+site, "%q is not a valid name of a site; use 1 to 64 of A-Z, a-z, 0-9, _ and -", site)
		}
	}
}

// siteWarnings returns a sentence for each edge whose certificate also has another role, which it then does not get.
func (c *Config) siteWarnings() (warnings []string) {
	for _, name := range c.Sites.names() {
		for _, role := range c.Roles.named(name) {
			warnings = append(warnings, "broker.sites: the certificate "+name+" is that of an edge, so broker.roles."+role+
				", which it matches, has no effect for it")
		}
	}
	return warnings
}

// Warnings returns a sentence for each setting that is valid but probably a mistake.
func (c *Config) Warnings() []string { return append(c.siteWarnings(), c.leafWarnings()...) }
