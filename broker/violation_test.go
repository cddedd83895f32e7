package broker

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/muster-appliance/muster/internal/rejected"
)

// serverLine returns the format of a line as the server makes it for a connection with the id 53 that gave
// itself the name.
func serverLine(name, violation string) string {
	return fmt.Sprintf("192.0.2.7:40112 - cid:53 - %q - %q - %s", "v1.52:go:"+name, "choria/web1", violation)
}

func TestParseViolation_OverWebSocket(t *testing.T) {
	line := `203.0.113.9/192.0.2.7:40112 - wid:53 - "go" - "choria/web1 - cid:1" - Publish Violation - Subject %q`
	want := violation{id: 53, address: "192.0.2.7:40112", kind: rejected.Publish, subject: "a.b"}
	if have, ok := parseViolation(line, []any{[]byte("a.b")}); !ok || have != want {
		t.Errorf("%+v %v, want %+v", have, ok, want)
	}
}

func TestParseViolation(t *testing.T) {
	const forged = `x" - cid:1 - "y" - Publish Violation - Subject %q - Subscription Violation - Subject "$SYS.>", ` +
		`SID 1 %s%d`
	for _, name := range []string{"web1", "", forged, `\`, "\x00\xff%"} {
		for description, test := range map[string]struct {
			line string
			args []any
			want violation
		}{
			"publish": {"Publish Violation - Subject %q", []any{[]byte("a.b")},
				violation{kind: rejected.Publish, subject: "a.b"}},
			"subscribe": {`Subscription Violation - Subject "a.\"b\\%q", SID 3`, nil,
				violation{kind: rejected.Subscribe, subject: `a."b\%q`}},
			"queue": {`Subscription Violation - Subject "a.>", Queue: "x\"", SID "`, nil,
				violation{kind: rejected.Subscribe, subject: "a.>"}},
			"reply":   {"Publish Violation - Reply %q", []any{"_R_.x"}, violation{kind: rejected.Reply, subject: "_R_.x"}},
			"no args": {"Publish Violation - Subject %q", nil, violation{kind: rejected.Publish}},
		} {
			t.Run(description+" "+name, func(t *testing.T) {
				test.want.id, test.want.address = 53, "192.0.2.7:40112"
				if have, ok := parseViolation(serverLine(name, test.line), test.args); !ok || have != test.want {
					t.Errorf("%+v %v, want %+v", have, ok, test.want)
				}
			})
		}
		for _, line := range []string{
			"Maximum Payload Violation", `Subscription Violation Too Many Tokens - Subject "a", SID 1`,
			"TLS handshake error: %v", `Subscription Violation - Subject "a`,
		} {
			if have, ok := parseViolation(serverLine(name, line), []any{[]byte("a")}); ok {
				t.Errorf("%s is read as %+v", serverLine(name, line), have)
			}
		}
	}
	for _, line := range []string{
		"Publish Violation - Subject %q", "JETSTREAM - Publish Violation - Subject %q",
		"192.0.2.7:1 - lid:3 - Publish Violation - Subject %q", "192.0.2.7:1 - cid:x - Publish Violation - Subject %q",
	} {
		if have, ok := parseViolation(line, []any{[]byte("a")}); ok {
			t.Errorf("%s is read as %+v", line, have)
		}
	}
}

func FuzzParseViolation(f *testing.F) {
	f.Add("web1", "a.b", "q", "1")
	f.Add(` - cid:1 - Publish Violation - Subject %q`, `x", SID 1`, `"`, `- Subscription Violation - Subject "y"`)
	f.Fuzz(func(t *testing.T, name, subject, queue, sid string) {
		if strings.ContainsAny(subject+queue+sid, " \t\r\n") { // they end an argument of the protocol
			t.Skip()
		}
		for line, kind := range map[string]string{
			fmt.Sprintf("Subscription Violation - Subject %q, SID %s", subject, sid):                   rejected.Subscribe,
			fmt.Sprintf("Subscription Violation - Subject %q, Queue: %q, SID %s", subject, queue, sid): rejected.Subscribe,
			"Publish Violation - Reply %q": rejected.Reply,
		} {
			have, ok := parseViolation(serverLine(name, line), []any{subject})
			if !ok || have != (violation{53, "192.0.2.7:40112", kind, subject}) {
				t.Errorf("%s: %+v %v", serverLine(name, line), have, ok)
			}
		}
		for _, kind := range []string{rejected.Publish, rejected.Subscribe} {
			if have := generalize(kind, subject); len(have) > 4*maxViolationSubject || !utf8.ValidString(have) {
				t.Errorf("%q is generalized to %q", subject, have)
			}
		}
	})
}

func TestGeneralize(t *testing.T) {
	const nuid, md5 = "Yh0pZQ1cVbI2jGq3kLm9nW", "0123456789abcdef0123456789abcdef"
	for name, want := range map[string]string{
		"_INBOX." + nuid:                                "_INBOX.>",
		"_INBOX." + nuid + ".Ab3dEf7h":                  "_INBOX.>",
		"mcollective.reply." + md5 + "." + md5:          "mcollective.reply.>",
		"mcollective.reply.*.*":                         "mcollective.reply.>",
		"mcollective.node.web1.example.net":             "mcollective.node.>",
		"$JS.ACK.KV_X.kHq3sT9a.1.5.6.170000000.0":       "$JS.ACK.KV_X.>",
		"$JS.FC.KV_X.kHq3sT9a.x":                        "$JS.FC.KV_X.>",
		"$JS.API.CONSUMER.CREATE.KV_X.kHq3sT9a.$KV.X.>": "$JS.API.CONSUMER.CREATE.KV_X.>",
		"$JS.API.CONSUMER.MSG.NEXT.S.kHq3sT9a":          "$JS.API.CONSUMER.MSG.NEXT.S.>",
		"$JS.API.DIRECT.GET.KV_X.$KV.X.color":           "$JS.API.DIRECT.GET.KV_X.>",
		"choria.sites.bru.choria.node_metadata.web1":    "choria.sites.bru.>",
		"$JS.API.DIRECT.GET.S.choria.sites.bru.x.y":     "$JS.API.DIRECT.GET.S.choria.sites.bru.>",
		"$JS.API.STREAM.MSG.DELETE.GOVERNOR_G1":         "$JS.API.STREAM.MSG.DELETE.GOVERNOR_G1",
		"cmdb.registration.node1":                       "cmdb.registration.node1",
		"cmdb." + nuid + ".x":                           "cmdb.*.x",
		"cmdb." + nuid + "_1.12345." + md5:              "cmdb.*.*.*",
		"cmdb.123e4567-e89b-12d3-a456-426614174000":     "cmdb.*",
		"cmdb.internationalizationworkers":              "cmdb.internationalizationworkers",
		">":                                             ">",
		"":                                              "",
		"a..b":                                          "a..b",
		"a.\xff":                                        "a.�",
		"a." + strings.Repeat("b", 500):                 "a." + strings.Repeat("b", maxViolationSubject-2) + "…",
	} {
		t.Run(name, func(t *testing.T) {
			if have := generalize(rejected.Publish, name); have != want {
				t.Errorf("%q, want %q", have, want)
			}
		})
	}
	if have := generalize(rejected.Subscribe, "mcollective.node.web2"); have != "mcollective.node.web2" {
		t.Errorf("the name to which a node subscribes is left out: %s", have)
	}
}
