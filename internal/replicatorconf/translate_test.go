package replicatorconf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/translate"
)

// translated returns the translation of a configuration.
func translated(t *testing.T, text string) (string, []translate.Remark) {
	t.Helper()
	f, err := parse("sr.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f.Translate([]string{contract.StreamRegistration, "CHORIA_EVENTS"})
}

// entry returns a configuration with one stream and further keys in its entry.
func entry(keys ...string) string {
	return "name: ams\nstreams:\n  - stream: CHORIA_REGISTRATION\n    source_url: nats://here\n" +
		"    target_url: nats://there\n    " + strings.Join(keys, "\n    ") + "\n"
}

func TestTranslate_KeysOfAStream(t *testing.T) {
	const (
		table   = "[forward.hub.stream.CHORIA_REGISTRATION]\n"
		all     = "mode = \"all\"\n"
		changed = "mode = \"changed\"\n"
		sampled = "mode = \"sampled\"\n"
		catchup = "catchup = \"all\"\n"
		hourly  = "interval = \"1h\"\n"
	)
	inspect := func(keys ...string) []string {
		return append([]string{"inspect_field: sender", "inspect_duration: 1h"}, keys...)
	}
	for name, test := range map[string]struct {
		keys  []string
		table string // begins so
		want  string // the remark, as far as its reason begins; empty: none
	}{
		"all":              {nil, all + catchup, ""},
		"sampled":          {inspect(), sampled + hourly + "\n", ""},
		"without interval": {[]string{"inspect_field: sender"}, all, ""},
		"without field":    {[]string{"inspect_duration: 1h"}, all + catchup, ""},
		"weeks":            {[]string{"inspect_field: sender", "inspect_duration: 2w"}, sampled + "interval = \"14d\"\n", ""},
		"changed":          {inspect("size_trigger: 1024"), changed + hourly, "size_trigger = 1024: replaced by"},
		"no trigger":       {inspect("size_trigger: 0"), sampled, ""},
		"by force":         {inspect("inspect_force_field: f"), changed, "CAUTION inspect_force_field = f: replaced by"},
		"by a header":      {[]string{"inspect_header: H"}, all, "CAUTION inspect_header = H: without effect"},
		"another field":    {inspect("inspect_field: host"), sampled, "CAUTION inspect_field = host: messages"},
		"max_age":          {[]string{"max_age: 90m"}, all + catchup + "max_age = \"1h30m\"\n", ""},
		"bad max_age":      {[]string{"max_age: NaNd"}, all + catchup + "\n", "CAUTION max_age = NaNd: not a duration"},
		"prefix": {[]string{"target_subject_prefix: a.b"}, all + catchup + "subject = \"choria.sites.%s.a.b.>\"\n",
			"CAUTION target_subject_prefix = a.b: kept"},
		"filter":        {[]string{"filter_subject: a.>"}, all, "LOSS filter_subject = a.>: messages on other subjects"},
		"other stream":  {[]string{"target_stream: B"}, all, "CAUTION target_stream = B: a hub stores"},
		"same stream":   {[]string{"target_stream: CHORIA_REGISTRATION"}, all, ""},
		"remove":        {[]string{"target_subject_remove: a"}, all, "CAUTION target_subject_remove = a: not supported"},
		"at the target": {[]string{"target_initiated: true"}, all, "CAUTION target_initiated = true: the"},
		"at the source": {[]string{"target_initiated: false"}, all, ""},
		"upper case":    {[]string{"Max_Age: 1d"}, all + catchup + "max_age = \"1d\"\n", ""},
		"unknown":       {[]string{"shade: red"}, all, "shade = red: not imported: the Stream Replicator"},
	} {
		t.Run(name, func(t *testing.T) {
			out, remarks := translated(t, entry(test.keys...))
			_, body, found := strings.Cut(out, table)
			if !found || !strings.HasPrefix(body, test.table) {
				t.Errorf("have\n%s", out)
			}
			var others []string
			for _, r := range remarks {
				if !strings.HasSuffix(r.Key, ".target_url") {
					others = append(others, strings.Replace(r.String(), "streams.CHORIA_REGISTRATION.", "", 1))
				}
			}
			have := strings.Join(others, "\n")
			if test.want == "" && have != "" || !strings.HasPrefix(have, test.want) || len(others) > 1 {
				t.Errorf("remarks:\n%s", have)
			}
		})
	}
}

func TestTranslate_Targets(t *testing.T) {
	for name, test := range map[string]struct {
		target string
		keys   []string
		want   []string // lines of the output
		remark string
	}{
		"address":     {"hub:4222", nil, []string{`servers = ["nats://hub:4222"]`}, "neither a certificate nor a token"},
		"several":     {"nats://a:1,tls://b:2 , c", nil, []string{`servers = ["nats://a:1", "tls://b:2", "nats://c"]`}, ""},
		"user":        {"nats://u:p%21@a", nil, []string{`user = "u"`, `password = "p!"  # better: "file:PATH"`}, ""},
		"credentials": {"nats://a?credentials=/c.creds", nil, []string{`credentials = "/c.creds"`}, ""},
		"nkey":        {"nats://a?jwt=/j&nkey=/n", nil, nil, "the options jwt and nkey are not supported"},
		"WebSocket":   {"wss://a:443/n%2F,wss://b", nil, []string{`servers = ["wss://a:443/n%2F", "wss://b"]`}, ""},
		"without TLS": {"ws://a:80", nil, []string{`servers = ["ws://a:80"]`}, ""},
		"encrypted":   {"ws://a:80", []string{"target_tls: {ca: /ca}"}, []string{`servers = ["wss://a:80"]`}, ""},
		"other":       {"http://a", nil, []string{`enabled = false  # name a server first`}, "http:// is not"},
		"not a URL":   {"nats://%zz", nil, []string{`servers = []`}, "is not a URL"},
		"tls": {"nats://a", []string{"target_tls: {ca: /ca, cert: /c, key: /k}", "tls: {ca: /other}"},
			[]string{`servers = ["tls://a"]`, "[forward.hub.tls]", `cert = "/c"`, `key = "/k"`, `ca = "/ca"`}, ""},
		"token": {"nats://a", []string{"target_choria: {seed_file: /s, jwt_file: /j}"},
			[]string{`servers = ["tls://a"]`, `token = "file:/j"`, `seed = "/s"`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(entry(test.keys...), "nats://there", fmt.Sprintf("%q", test.target), 1)
			out, remarks := translated(t, text)
			for _, line := range test.want {
				if !strings.Contains(out, "\n"+line+"\n") {
					t.Errorf("%q is missing in\n%s", line, out)
				}
			}
			if text := fmt.Sprint(remarks); !strings.Contains(text, test.remark) || strings.Contains(text, "u:p") {
				t.Errorf("remarks:\n%s", text)
			}
		})
	}
}

func TestTranslate_NamesHubsByTheirHosts(t *testing.T) {
	text := "name: ams\nstreams:\n"
	for _, target := range []string{
		"nats://a.example.net", "nats://a.example.net:5222", "nats://[::]:4222", "nats://a.example.net",
	} {
		text += "- {stream: CHORIA_EVENTS, target_url: '" + target + "'}\n"
	}
	out, _ := translated(t, text)
	for _, hub := range []string{"a-example-net", "a-example-net-2", "hub"} {
		if strings.Count(out, "\n[forward."+hub+"]\n") != 1 {
			t.Errorf("%s is not there once:\n%s", hub, out)
		}
	}
	if strings.Count(out, "enabled = false") != 3 {
		t.Errorf("registrations are forwarded, although the Stream Replicator did not copy them:\n%s", out)
	}
}

func TestParse_ReportsWhatIsNotAConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":      "sr.yaml: yaml: ",
		"- a\n- b":  "sr.yaml: expected keys and values",
		"some text": "sr.yaml: expected keys and values",
	} {
		if _, err := parse("sr.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: have %v", text, err)
		}
	}
	out, remarks := translated(t, "# nothing\n")
	if strings.Contains(out, "[forward") || len(remarks) != 2 {
		t.Errorf("%v\n%s", remarks, out)
	}
}

// FuzzTranslate checks that each configuration that can be read is translated to TOML.
func FuzzTranslate(f *testing.F) {
	f.Add(entry("inspect_field: sender", "inspect_duration: 1h", "advisory: {subject: x, reliable: true}",
		"tls: &a {ca: /ca}", "target_tls: *a"))
	f.Add("a: &a [*a]\nstreams: *a\nname: \"\\u0000\"")
	f.Add("streams: [1, {stream: x, target_url: 'nats://u:p@[::1]:4222,?'}, {stream: KV_x, target_url: a, max_age: 1w}]")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := parse("sr.yaml", []byte(text))
		if err != nil {
			return
		}
		out, _ := file.Translate([]string{contract.StreamRegistration})
		var tree map[string]any
		if _, err := toml.Decode(out, &tree); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
	})
}
