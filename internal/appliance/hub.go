package appliance

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/muster-appliance/muster/jsconfig"
)

// isHub reports whether edges forward to this appliance.
func (c *Config) isHub() bool { return len(c.Broker.Sites) > 0 }

// DeclaredStreams returns the streams and buckets that must exist: those that are declared, at a hub with what edges
// forward.
func (c *Config) DeclaredStreams() *jsconfig.Config {
	if !c.isHub() {
		return &c.Declared
	}
	hub := c.Declared.AtHub()
	return &hub
}

// siteOutputs returns the subjects that only the appliance publishes to because edges forward to it.
func (c *Config) siteOutputs() []string {
	if !c.isHub() {
		return nil
	}
	return []string{contract.SubjectSites + ">"}
}

// checkSites reports sites that cannot be told apart, or whose messages would not be acknowledged.
func (c *Config) checkSites(check *config.Check) {
	site := cmp.Or(c.Site, c.Identity, hostIdentity())
	if _, listed := c.Broker.Sites[site]; listed {
		check.Problem("broker.sites."+site, "%q is the site of this appliance; name only sites whose edges forward to it",
			site)
	}
	if len(c.EnabledForwards()) > 0 && !contract.ValidName(site) {
		check.Problem("site", "%q cannot be the site of an appliance that forwards; "+
			"set site to 1 to 64 of A-Z, a-z, 0-9, _ and -, as [broker.sites] of the hub has it", site)
	}
	if !c.isHub() {
		return
	}
	for _, name := range c.DeclaredStreams().StreamsOf(contract.SubjectSites + ">") {
		if c.DeclaredStreams().Streams[name].NoAck {
			check.Problem("stream."+name+".no_ack", "true, but edges forward to it and wait for acks")
		}
	}
}

// siteWarnings returns a sentence for each setting of [broker] that is probably a mistake, and for each stream without
// which what edges forward is not stored, or may be stored twice.
func (c *Config) siteWarnings() (warnings []string) {
	warnings = c.Broker.Warnings()
	if !c.isHub() {
		return warnings
	}
	declared := c.DeclaredStreams()
	for _, forwarded := range jsconfig.Forwarded() {
		if len(declared.StreamsOf(forwarded)) == 0 {
			warnings = append(warnings, fmt.Sprintf("[broker.sites] names edges, but no declared stream stores %q; "+
				"what they forward there waits until a stream stores it: add the subject to a stream", forwarded))
		}
	}
	stored := func(name string) bool { return subject.Overlap(name, contract.SubjectSites+">") }
	for _, name := range declared.StreamsOf(contract.SubjectSites + ">") {
		if s := declared.Streams[name]; !s.AllowDirect && slices.ContainsFunc(s.Subjects, stored) {
			warnings = append(warnings, fmt.Sprintf("stream %s stores what edges forward, but has allow_direct = false: "+
				"an edge cannot ask what arrived, and messages may be stored twice after a cut; set it to true", name))
		}
	}
	return warnings
}
