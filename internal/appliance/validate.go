package appliance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
)

// leastDuplicateWindow covers the time between two attempts of an adapter to store a message.
const leastDuplicateWindow = 15 * time.Second

// Validate checks what no table can check by itself.
func (c *Config) Validate(check *config.Check) {
	for key, name := range map[string]string{"identity": c.Identity, "site": c.Site} {
		if name != "" && choria.CheckSender(name) != nil {
			check.Problem(key, "%q is no name; use A-Z, a-z, 0-9 and ._:@=+-, with single dots and none at its ends", name)
		}
	}
	if c.DataDir == "" {
		check.Problem("data_dir", `empty; name a directory, such as "/var/lib/muster"`)
	}
	if c.Broker.ListenAddress() == c.Console.Listen && !strings.HasSuffix(c.Console.Listen, ":0") {
		check.Problem("console.listen", "%q is broker.listen too; use another port", c.Console.Listen)
	}
	c.Declared.Validate(check, c.JetStream.MaxStorage, c.JetStream.MaxMemory)
	c.checkLoops(check)
	if c.Fleet.Enabled && c.Fleet.Advisories && c.Declared.StreamFor(contract.SubjectAdvisories) == "" {
		check.Problem("fleet.advisories", "true, but no declared stream takes %s; every event would wait for it", contract.SubjectAdvisories)
	}
	for _, a := range c.EnabledAdapters() {
		name := c.Declared.StreamFor(a.Stream.Subject("sender"))
		if s := c.Declared.Streams[name]; s != nil && s.NoAck && len(a.Stream.Servers) == 0 {
			check.Problem("stream."+name+".no_ack", "true, but adapter %s publishes to it and waits for its answers", a.Name)
		}
	}
}

// checkLoops refuses topics on which an adapter would read what an adapter writes, or
// what the server and the clients say to each other: it would never end.
func (c *Config) checkLoops(check *config.Check) {
	for _, a := range c.EnabledAdapters() {
		for _, topic := range a.Ingest.Topics {
			if own := c.written(topic); own != "" {
				check.Problem("adapter."+a.Name+".ingest.topic", "%q takes in %s; name the subjects that nodes publish to", topic, own)
			}
		}
	}
}

// written says what a topic takes in that nodes have not published, or is empty.
func (c *Config) written(topic string) string {
	first, _, _ := strings.Cut(topic, ".")
	if slices.Contains([]string{">", "$JS", "$SYS", "_INBOX"}, first) {
		return "what the server and its clients say to each other"
	}
	if subject.Overlap(topic, contract.SubjectRejected+">") {
		return "rejected messages"
	}
	if subject.Overlap(topic, contract.SubjectFleet+">") {
		return "events of the fleet"
	}
	for _, a := range c.EnabledAdapters() {
		for _, sender := range []string{"web1", "web1.example.net"} {
			if len(a.Stream.Servers) == 0 && subject.Covers(topic, a.Stream.Subject(sender)) {
				return "what adapter " + a.Name + " publishes"
			}
		}
	}
	return ""
}

// keepsEvents tells whether the fleet's events have their stream.
func (c *Config) keepsEvents() bool {
	return c.Declared.StreamFor(contract.SubjectFleetNode+"up.web1") == contract.StreamFleet
}

// Warnings are what may be meant, but is worth a second look.
func (c *Config) Warnings() []string {
	var warnings []string
	for _, a := range c.EnabledAdapters() {
		if len(a.Stream.Servers) == 0 && c.Declared.StreamFor(a.Stream.Subject("sender")) == "" {
			warnings = append(warnings, fmt.Sprintf("adapter %s publishes to %q, which no declared stream takes; it waits until there is one",
				a.Name, a.Stream.Topic))
		}
	}
	for _, a := range c.EnabledAdapters() {
		name := c.Declared.StreamFor(a.Stream.Subject("sender"))
		if s := c.Declared.Streams[name]; s != nil && s.DuplicateWindow > 0 && s.DuplicateWindow < leastDuplicateWindow {
			warnings = append(warnings, fmt.Sprintf("stream %s forgets message ids after %s; a message whose acknowledgement was lost may be stored twice, with %s it is not",
				name, config.FormatDuration(s.DuplicateWindow), config.FormatDuration(leastDuplicateWindow)))
		}
	}
	if c.Fleet.Enabled && c.Declared.Streams[c.Fleet.Stream] == nil {
		warnings = append(warnings, fmt.Sprintf("fleet.stream is %q, which is not declared; no node is seen until there is one", c.Fleet.Stream))
	}
	if c.Fleet.Enabled && !c.keepsEvents() {
		warnings = append(warnings, fmt.Sprintf("no stream %s is declared for muster.fleet.>; what becomes of the nodes is kept nowhere", contract.StreamFleet))
	}
	for _, name := range c.Declared.Unbounded() {
		warnings = append(warnings, fmt.Sprintf("stream %s has no max_bytes; it may grow until jetstream.max_storage is reached, and then nothing is stored", name))
	}
	return warnings
}
