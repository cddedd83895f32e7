package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats-server/v2/server"
)

// mappingsTable is a configuration file with mappings alone.
type mappingsTable struct{ Config }

func (m *mappingsTable) Keys() []config.Key           { return m.Config.Keys() }
func (m *mappingsTable) Validate(check *config.Check) { m.checkMappings(check) }

// problemsOf returns what is wrong with the mappings, each a source and a destination; empty if they are valid.
func problemsOf(pairs ...string) string {
	text := "[mappings]\n"
	for i := 0; i < len(pairs); i += 2 {
		text += "'" + pairs[i] + "' = '" + pairs[i+1] + "'\n"
	}
	if err := config.Load("x", []byte(text), &mappingsTable{}); err != nil {
		return err.Error()
	}
	return ""
}

func TestMappings_Valid(t *testing.T) {
	for _, pairs := range [][]string{
		{"in.registration.*.>", "registration.{{partition(5,1)}}.{{wildcard(1)}}.>"}, // of Choria's own tests
		{"old", "new"},
		{"in.metrics.*.*", "metrics.all.$2.$1"},
		{"in.*", "out.{{Random(3)}}.all"},
		{"alerts.*", "pages.$1"},
		{"in.a.*", "out.a.{{ wildcard( 1 ) }}", "in.b.*", "out.a.{{partition(3)}}"},
		{"in.node", "out.reply"}, // requests and replies have more than two tokens
		{"orders.new.>", "sales.node7.>"},
	} {
		if problems := problemsOf(pairs...); problems != "" {
			t.Errorf("%v: %s", pairs, problems)
		}
	}
}

func TestMappings_Invalid(t *testing.T) {
	for _, c := range []struct{ source, destination, want string }{
		{"in..x", "out.x", `the source is not a valid subject: "in..x" has an empty token`},
		{"in.x", "", `the destination must not be empty; write a subject`},
		{"in.x.*", "out.x.$2", `"out.x.$2" is not a valid destination: `},
		{"in.x.*", "out.x.*", `"out.x.*" is not a valid destination: `},
		{"in.x.>", "out.x", `either both end in ">", or neither`},
		{"in.x.*", "out.x.{{shuffle(1)}}", `is not a valid destination: `},
		{"in.x y", "out.x", `"in.x y" contains a blank`},
		{"*.broadcast.agent.registration", "out.x", `the source begins with a wildcard, so it includes JetStream's API`},
		{">", "out.x.>", "the source begins with a wildcard"},
		{"mcollective.broadcast.agent.registration", "out.x", "the source is one of Choria's requests and"},
		{"mcollective.reply.*", "out.x", "the source is one of Choria's replies"},
		{"mcollective.node.*", "out.x.$1", "the source is one of Choria's requests to single nodes"},
		{"mcollective.governor.x", "out.x", "the source is one of Choria's requests to enter governors"},
		{"mcollective.submission.in.x", "out.x", "the source is one of Choria's submissions"},
		{"mcollective.*.x", "out.x", "the source has a wildcard as its second token, so it includes requests and replies"},
		{"mcollective.>", "out.x.>", "the source has a wildcard as its second token"},
		{"choria.lifecycle.>", "out.x.>", "the source is one of the subjects of Choria, such as events"},
		{"choria.sites.ams.>", "out.x.>", "the source is one of the subjects of Choria"},
		{"muster.fleet.node.>", "out.x.>", "the source is one of the subjects of the appliance"},
		{"provisioning.registration.x", "out.x", "the source is one of the subjects of nodes in provisioning mode"},
		{"$KV.B.x", "out.x", "the source is one of NATS"},
		{"_INBOX.*", "out.x", "the source is one of the inboxes"},
		{"_INBOX_abc.x", "out.x", "the source is one of the inboxes"},
		{"in.x", "$JS.API.STREAM.DELETE.X", `the destination "$JS.API.STREAM.DELETE.X" is one of NATS: its API`},
		{"in.x", "$MUSTER.API.STREAM.INFO.X", `is one of NATS`},
		{"in.x", "$SYS.REQ.USER.INFO", `is one of NATS`},
		{"in.x", "$KV.CHORIA_LEADER_ELECTION.x", `is one of NATS`},
		{"in.x", "muster.write.x", `the destination "muster.write.x" is one of the subjects of the appliance`},
		{"in.x", "choria.node_metadata.web1", `is one of the subjects of Choria`},
		{"in.x", "choria.sites.ams.x", `is one of the subjects of Choria`},
		{"in.x", "_INBOX.x", "is one of the inboxes, where replies arrive; map only to"},
		{"in.x", "mcollective.broadcast.agent.registration", `is one of Choria's requests and registrations`},
		{"in.x", "mcollective.reply.x.y", `is one of Choria's replies`},
		{"in.x.*", "{{wildcard(1)}}.API.x", "begins with a wildcard"},
		{"in.x.*", "$1.x", "begins with a wildcard"},
		{"in.x.*", "out.$1.x", "has a wildcard as its second token"},
	} {
		problems := problemsOf(c.source, c.destination)
		if c.want == "" && problems != "" || c.want != "" && !strings.Contains(problems, "x:2: mappings."+c.source+": ") ||
			!strings.Contains(problems, c.want) {
			t.Errorf("%s to %s: %s; want %s", c.source, c.destination, problems, c.want)
		}
	}
}

// TestMappings_RefuseFunctions lists functions that NATS accepts, and that have no effect, or can make a token that is
// empty, or several tokens.
func TestMappings_RefuseFunctions(t *testing.T) {
	for _, function := range []string{
		"{{partition(0,1)}}", "{{partition(-1,1)}}", "{{partition(0)}}", "{{random(0)}}", "{{random(-3)}}",
		"{{SliceFromLeft(1,0)}}", "{{SplitFromLeft(1,-1)}}", "{{splitFromRight(1,2)}}", "{{sliceFromRight(1,2)}}",
		"{{left(1,3)}}", "{{right(1,3)}}", "{{split(1,-)}}", "x{{wildcard(1)}}", "$0", "$-1",
	} {
		destination := "x.u." + function
		want := fmt.Sprintf("%q is not a valid destination: %q is not allowed; of NATS's functions use $N, ",
			destination, function)
		if problems := problemsOf("in.u.*", destination); !strings.Contains(problems, want) {
			t.Errorf("%s: %q", function, problems)
		}
	}
}

func TestMappings_OverlapEachOther(t *testing.T) {
	const twice, undefined = "a message is mapped only once", "which of them applies is not defined"
	for _, c := range []struct {
		pairs []string
		want  string
	}{
		{[]string{"in.a.>", "in.a.b.>"}, `the destination "in.a.b.>" overlaps the source "in.a.>", and ` + twice},
		{[]string{"in.a.*", "in.a.$1"}, twice},
		{[]string{"in.a.x", "in.b.x", "in.b.*", "in.a.$1"}, twice},
		{[]string{"in.a.x", "in.b.7", "in.b.*", "out.b.$1"}, twice},
		{[]string{"in.a.*", "out.a.{{partition(3,1)}}", "out.a.2", "out.b.2"}, twice},
		{[]string{"in.a.x", "out.a.x", "in.a.*", "out.b.$1"}, undefined},
		{[]string{"in.a.x", "out.a.x", "in.a.y", "out.a.y", "in.b.>", "out.b.>"}, ""},
	} {
		if problems := problemsOf(c.pairs...); c.want == "" && problems != "" || !strings.Contains(problems, c.want) {
			t.Errorf("%v: %s; want %s", c.pairs, problems, c.want)
		}
	}
}

// FuzzMappings looks for mappings that are valid and lead, for some message, to a subject that is reserved, that is
// itself mapped, or that the wildcards of the destination do not match.
func FuzzMappings(f *testing.F) {
	f.Add("in.registration.*.>", "registration.{{partition(5,1)}}.{{wildcard(1)}}.>", "web1", "x.y")
	f.Add("in.a.*.*", "out.a.$2.{{random(3)}}", "a-b-c", "broadcast")
	f.Add("in.a.*", "out.{{random(9)}}.$1", "$JS", "_INBOX")
	f.Add("in.*", "$1.x", "muster", "x")
	f.Add("in.a.>", "out.a.{{partition(3)}}.>", "x", ">")
	f.Fuzz(func(t *testing.T, source, destination, first, rest string) {
		if checkMapping(source, destination) != nil {
			return
		}
		published := strings.Split(source, ".")
		for i, token := range published {
			switch token {
			case "*":
				published[i], first, rest = first, rest, first
			case ">":
				published[i] = rest
			}
		}
		if !subject.Covers(source, strings.Join(published, ".")) || subject.Check(strings.Join(published, ".")) != nil {
			return // no message is published there
		}
		transform, err := server.NewSubjectTransform(source, destination)
		if err != nil {
			t.Fatal(err)
		}
		mapped := transform.TransformSubject(strings.Join(published, "."))
		if pattern := destinationPattern(destination, "*"); !subject.Covers(pattern, mapped) {
			t.Errorf("%q to %q maps %q to %q, which %q does not match", source, destination, published, mapped, pattern)
		}
		if what := reservedSubject(mapped); what != "" {
			t.Errorf("%q to %q maps %q to %q, which %s", source, destination, published, mapped, what)
		}
	})
}

// TestMappings_DoNotApplyToLeafNodes has a mapping that check refuses, because leaf nodes may publish to its source.
// What a leaf node publishes is not mapped, and it does not learn of the mapping.
func TestMappings_DoNotApplyToLeafNodes(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(c *Config) {
		acceptLeafnode(c, CrossBoth)
		c.Mappings = Mappings{"mcollective.reply.mapped.x": "in.private.x", "in.metrics.*": "metrics.all.$1"}
	})
	nc := internalConn(t, s.broker)
	arrived := collect(t, nc, ">")
	l := s.hostile(t, nil)
	l.publish("mcollective.reply.mapped.x", "of the leaf node")
	l.flush()
	if err := nc.Publish("mcollective.reply.mapped.x", []byte("of a client")); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	want := []string{"mcollective.reply.mapped.x of the leaf node", "in.private.x of a client"}
	wait.Eventually(t, func() error {
		if got := arrived(); !slices.Equal(got, want) {
			return fmt.Errorf("arrived: %q, want %q", got, want)
		}
		return nil
	})
	if lines := append(l.seen("mapped"), l.seen("metrics")...); len(lines) > 0 {
		t.Errorf("the leaf node learns of %q", lines)
	}
}
