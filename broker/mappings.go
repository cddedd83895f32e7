package broker

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats-server/v2/server"
)

// Mappings is the [broker.mappings] table: the subject at which a message arrives, by the subject to which it is
// published. Both have the form of NATS: wildcards in the source; $1 or {{wildcard(1)}}, {{partition(5,1)}} and
// {{random(5)}} in the destination.
//
// The server maps what a connection to the account of the nodes publishes, also the appliance itself, and what the
// account imports as a service. It checks the permissions of nodes and clients for the destination only, and those of
// connections to other accounts before the import. What leaf nodes publish is imported as a stream, and not mapped.
// So a mapping opens nothing as long as no other account may publish to its source: checkMappings allows only sources
// and destinations that neither NATS, Choria nor Muster uses.
type Mappings map[string]string

// anyText accepts every destination: checkMappings needs the source, too.
func anyText(string) error { return nil }

// namesOfOthers are the first tokens of subjects that Choria and Muster use.
var namesOfOthers = map[string]string{
	"choria":       "subjects of Choria, such as events",
	"muster":       "subjects of the appliance",
	"provisioning": "subjects of nodes in provisioning mode",
}

// kindsOfChoria are the second tokens of subjects that Choria uses in a collective. The first is any name.
var kindsOfChoria = map[string]string{
	"broadcast":  "requests and registrations",
	"node":       "requests to single nodes",
	"reply":      "replies",
	"governor":   "requests to enter governors",
	"submission": "submissions",
	"republish":  "copies that streams publish",
}

// checkMappings reports mappings that are not valid, that do not end, or that could open what a role may not publish.
func (c *Config) checkMappings(check *config.Check) {
	valid := c.Mappings.Subjects()
	sources := slices.Sorted(maps.Keys(c.Mappings))
	for i, source := range sources {
		if err := checkMapping(source, c.Mappings[source]); err != nil {
			check.Problem("mappings."+source, "%s", err)
			continue
		}
		for j, other := range sources {
			switch {
			case valid[other] == "":
			case subject.Overlap(valid[source], other):
				check.Problem("mappings."+source, "the destination %q overlaps the source %q, and a message is mapped only once; "+
					"name a destination that is not a source", c.Mappings[source], other)
			case i < j && subject.Overlap(source, other):
				check.Problem("mappings."+other, "the source overlaps the source %q, so which of them applies is not defined; "+
					"name sources that do not overlap", source)
			}
		}
	}
}

// Subjects returns the mappings that are valid, each for itself. The destinations have wildcards in place of
// functions: they match all that a message may be mapped to.
func (m Mappings) Subjects() map[string]string {
	all := map[string]string{}
	for source, destination := range m {
		if checkMapping(source, destination) == nil {
			all[source] = destinationPattern(destination, "*")
		}
	}
	return all
}

// checkMapping returns what is wrong with a mapping, or nil.
func checkMapping(source, destination string) error {
	if err := subject.Check(source); err != nil {
		return fmt.Errorf("the source is not a valid subject: %w", err)
	}
	if what := reservedSubject(source); what != "" {
		return fmt.Errorf("the source %s; map only subjects that begin with two names of your own, such as "+
			`"in.metrics.>"`, what)
	}
	if err := checkDestination(source, destination); err != nil {
		return err
	}
	if what := reservedSubject(destinationPattern(destination, "0")); what != "" {
		return fmt.Errorf("the destination %q %s; map only to subjects that begin with two names of your own, "+
			`such as "metrics.all.>"`, destination, what)
	}
	return nil
}

// checkDestination returns an error for a destination that NATS would refuse.
func checkDestination(source, destination string) error {
	if destination == "" {
		return errors.New(`the destination must not be empty; write a subject, such as "metrics.all.$1"`)
	}
	if strings.HasSuffix(source, ">") != strings.HasSuffix(destination, ">") {
		return fmt.Errorf("%q is not a valid destination: either both end in \">\", or neither", destination)
	}
	for token := range strings.SplitSeq(destination, ".") {
		if !isAllowedToken(token) {
			return fmt.Errorf("%q is not a valid destination: %q is not allowed; of NATS's functions use $N, wildcard(N), "+
				"partition(N, …) and random(N), as a whole token and with numbers from 1", destination, token)
		}
	}
	if err := server.ValidateMapping(source, destination); err != nil {
		return fmt.Errorf("%q is not a valid destination: %w; write a subject with $1 or {{wildcard(1)}} for the first *",
			destination, err)
	}
	return nil
}

// reservedSubject returns what a subject with wildcards includes that is not for mappings; empty: nothing.
func reservedSubject(name string) string {
	tokens := strings.Split(name, ".")
	first := tokens[0]
	switch {
	case first == "*" || first == ">":
		return "begins with a wildcard, so it includes JetStream's API and the inboxes"
	case strings.HasPrefix(first, "$"):
		return "is one of NATS: its API, its buckets and what the server sends"
	case strings.HasPrefix(first, "_"):
		return "is one of the inboxes, where replies arrive"
	case namesOfOthers[first] != "":
		return "is one of the " + namesOfOthers[first]
	case len(tokens) == 2 && tokens[1] != ">", len(tokens) == 1:
		return ""
	case tokens[1] == "*" || tokens[1] == ">":
		return "has a wildcard as its second token, so it includes requests and replies in a collective"
	case kindsOfChoria[tokens[1]] != "":
		return "is one of Choria's " + kindsOfChoria[tokens[1]]
	}
	return ""
}

// destinationFunction matches a token that is a function with numbers, which mappings may use. The others of NATS can
// make tokens that are empty, cut a character, or make several tokens.
var destinationFunction = regexp.MustCompile(`^{{\s*(?i:(wildcard|partition|random))\s*\(([0-9, ]+)\)\s*}}$`)

// isAllowedToken reports whether a token has no function, or one that a mapping may use, with numbers from 1.
func isAllowedToken(token string) bool {
	numbers := ""
	if function := destinationFunction.FindStringSubmatch(token); function != nil {
		numbers = function[2]
	} else if isPlaceholder(token) {
		numbers = token[1:]
	} else {
		return !strings.Contains(token, "{{")
	}
	for argument := range strings.SplitSeq(numbers, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(argument)); err != nil || n < 1 {
			return false
		}
	}
	return true
}

// destinationPattern returns a subject that matches all that a destination may become. number stands for the
// functions that return a number. The destination must be valid.
func destinationPattern(destination, number string) string {
	tokens := strings.Split(destination, ".")
	for i, token := range tokens {
		function := destinationFunction.FindStringSubmatch(token)
		switch {
		case isPlaceholder(token), function != nil && strings.EqualFold(function[1], "wildcard"):
			tokens[i] = "*"
		case function != nil:
			tokens[i] = number
		}
	}
	return strings.Join(tokens, ".")
}

// isPlaceholder reports whether a token is "$" with a number.
func isPlaceholder(token string) bool {
	digits, found := strings.CutPrefix(token, "$")
	return found && digits != "" && strings.Trim(digits, "+-0123456789") == ""
}

// addMappings maps subjects in the account of the nodes. The server applies the first mapping that matches, so those
// of the appliance are added before.
func (b *Broker) addMappings(nodes *server.Account) error {
	for _, source := range slices.Sorted(maps.Keys(b.cfg.Mappings)) {
		if err := nodes.AddMapping(source, b.cfg.Mappings[source]); err != nil {
			return fmt.Errorf("map %s to %s: %w", source, b.cfg.Mappings[source], err)
		}
	}
	return nil
}
