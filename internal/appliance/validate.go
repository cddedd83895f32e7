package appliance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
)

// minDuplicateWindow covers the time between two attempts of an adapter to store a message.
const minDuplicateWindow = 15 * time.Second

// Validate checks keys against each other where no table can do so alone.
func (c *Config) Validate(check *config.Check) {
	for key, name := range map[string]string{"identity": c.Identity, "site": c.Site} {
		if name != "" && choria.CheckSender(name) != nil {
			check.Problem(key,
				"%q is not a valid name; use A-Z, a-z, 0-9 and ._:@=+-, and single dots inside the name only", name)
		}
	}
	if c.DataDir == "" {
		check.Problem("data_dir", `must not be empty; name a directory, such as "/var/lib/muster"`)
	}
	c.checkListeners(check)
	c.DeclaredStreams().Validate(check, c.JetStream.MaxStorage, c.JetStream.MaxMemory)
	c.checkLoops(check)
	c.checkPrivate(check)
	c.checkSites(check)
	c.checkMappings(check)
	if c.Broker.GovernorRelease > 0 && !c.Fleet.Enabled {
		check.Problem("broker.governor_release", "set, but the fleet view is disabled, so no node is down; "+
			"set fleet.enabled to true, or remove the line")
	}
	if c.Fleet.Enabled && c.Fleet.Advisories && c.DeclaredStreams().StreamFor(contract.SubjectAdvisories) == "" {
		check.Problem("fleet.advisories", "true, but no declared stream stores %s, and every event would wait; "+
			"declare the stream, or set it to false", contract.SubjectAdvisories)
	}
	for _, a := range c.EnabledAdapters() {
		if a.BindSender == "true" && !c.Broker.VerifiesIdentities() {
			check.Problem("adapter."+a.Name+".bind_sender", "true, but no node proves its identity to the broker; "+
				"configure certificates or token issuers in [broker], or remove the line")
		}
		name := c.DeclaredStreams().StreamFor(a.Stream.Subject("sender"))
		if s := c.DeclaredStreams().Streams[name]; s != nil && s.NoAck && len(a.Stream.Servers) == 0 {
			check.Problem("stream."+name+".no_ack",
				"true, but adapter %s publishes to it and waits for acks", a.Name)
		}
	}
}

// checkListeners reports a listener that another one keeps from listening.
func (c *Config) checkListeners(check *config.Check) {
	type listener struct{ key, address string }
	all := []listener{{"broker.listen", c.Broker.ListenAddress()}}
	for _, l := range c.Broker.Listeners() {
		_, address, _ := strings.Cut(l.URL, "://")
		all = append(all, listener{"broker." + l.Name + ".listen", address})
	}
	all = append(all, listener{"console.listen", c.Console.Listen})
	for i, l := range all {
		for _, other := range all[:i] {
			if config.Collide(l.address, other.address) {
				check.Problem(l.key, "%q is taken by %s, which is %q; use another port", l.address, other.key, other.address)
				break
			}
		}
	}
}

// checkLoops reports topics on which an adapter would read what an adapter publishes, or what
// the server and its clients send each other: the messages would be read and published again
// without end.
func (c *Config) checkLoops(check *config.Check) {
	for _, a := range c.EnabledAdapters() {
		for _, topic := range a.Ingest.Topics {
			if what := c.notFromNodes(topic); what != "" {
				check.Problem("adapter."+a.Name+".ingest.topic",
					"%q includes %s; name only subjects that nodes publish to", topic, what)
			}
		}
	}
}

// notFromNodes returns which messages a topic includes that no node has published; empty if none.
func (c *Config) notFromNodes(topic string) string {
	first, _, _ := strings.Cut(topic, ".")
	if slices.Contains([]string{">", "$JS", "$SYS", "_INBOX"}, first) {
		return "messages of the server and its clients"
	}
	if subject.Overlap(topic, contract.SubjectRejected+">") {
		return "rejected messages"
	}
	if subject.Overlap(topic, contract.SubjectFleet+">") {
		return "events of the fleet view"
	}
	if subject.Overlap(topic, contract.SubjectAudit+">") {
		return "records of what administrators do"
	}
	if slices.ContainsFunc(c.siteOutputs(), func(output string) bool { return subject.Overlap(topic, output) }) {
		return "what edges forward"
	}
	for _, a := range c.EnabledAdapters() {
		for _, sender := range []string{"web1", "web1.example.net"} {
			if len(a.Stream.Servers) == 0 && subject.Covers(topic, a.Stream.Subject(sender)) {
				return "the output of adapter " + a.Name
			}
		}
	}
	return ""
}

// keepsEvents reports whether a stream is declared for the events of the fleet view.
func (c *Config) keepsEvents() bool {
	return c.DeclaredStreams().StreamFor(contract.SubjectFleetNode+"up.web1") == contract.StreamFleet
}

// Warnings returns a sentence for each setting that is valid but probably a mistake.
func (c *Config) Warnings() []string {
	var warnings []string
	declared := c.DeclaredStreams()
	for _, a := range c.EnabledAdapters() {
		if len(a.Stream.Servers) == 0 && declared.StreamFor(a.Stream.Subject("sender")) == "" {
			warnings = append(warnings, fmt.Sprintf(
				"adapter %s publishes to %q, which no declared stream stores; its messages wait until a stream stores it",
				a.Name, a.Stream.Topic))
		}
	}
	for _, a := range c.EnabledAdapters() {
		name := declared.StreamFor(a.Stream.Subject("sender"))
		if s := declared.Streams[name]; s != nil && s.DuplicateWindow > 0 && s.DuplicateWindow < minDuplicateWindow {
			warnings = append(warnings, fmt.Sprintf(
				"stream %s forgets message ids after %s: a message whose ack was lost may be stored twice; "+
					"set duplicate_window to %s or more",
				name, config.FormatDuration(s.DuplicateWindow), config.FormatDuration(minDuplicateWindow)))
		}
	}
	if c.Fleet.Enabled && declared.Streams[c.Fleet.Stream] == nil {
		warnings = append(warnings, fmt.Sprintf(
			"fleet.stream is %q, which is not declared; the fleet view is empty until that stream exists", c.Fleet.Stream))
	}
	if c.Fleet.Enabled && !c.keepsEvents() {
		warnings = append(warnings, fmt.Sprintf(
			"no stream %s is declared for %s>; events of the fleet view are not stored",
			contract.StreamFleet, contract.SubjectFleet))
	}
	warnings = slices.Concat(warnings, c.privateWarnings(), c.topicWarnings(), c.siteWarnings(), c.mappingWarnings())
	for _, name := range declared.WithoutAudit() {
		warnings = append(warnings, fmt.Sprintf("stream %s does not store %s, which has the write token; write %q",
			name, contract.SubjectAPIAdvisory, contract.SubjectsAdvisory))
	}
	for _, name := range declared.Unbounded() {
		warnings = append(warnings, fmt.Sprintf(
			"stream %s has no max_bytes; it may grow until jetstream.max_storage is reached, and then no stream can store",
			name))
	}
	return warnings
}

// topicWarnings returns a sentence for each topic of an adapter on which nodes listen or should.
func (c *Config) topicWarnings() (warnings []string) {
	for _, a := range c.EnabledAdapters() {
		for _, topic := range a.Ingest.Topics {
			if what := broker.TopicWarning(topic); what != "" {
				warnings = append(warnings, fmt.Sprintf("adapter %s reads %q: %s", a.Name, topic, what))
			}
		}
	}
	return warnings
}
