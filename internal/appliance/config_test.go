package appliance

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/config"
)

const shipped = "../../appliance.toml"

func TestDefaultConfig_EqualsShippedFile(t *testing.T) {
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("appliance.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := Parse("empty.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if changed := config.Changed(defaults, cfg); len(changed) > 0 {
		t.Errorf("the shipped file differs from the defaults in %v", changed)
	}
	if warnings := cfg.Warnings(); len(warnings) > 0 {
		t.Errorf("the shipped file warns: %v", warnings)
	}
}

// commented matches a key or table that the shipped file shows but does not set.
var commented = regexp.MustCompile(`(?m)^# (\[|[a-z_]+ = )`)

func TestDefaultConfig_ShippedFileShowsEveryKey(t *testing.T) {
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	shown := commented.ReplaceAllString(string(text), "$1")
	if _, err := Parse("appliance.toml", []byte(shown)); err != nil {
		t.Fatalf("with the commented keys set: %v", err)
	}
	var tree map[string]any
	if _, err := toml.Decode(shown, &tree); err != nil {
		t.Fatal(err)
	}
	withHub := DefaultConfig()
	withHub.Forward["hub"] = forward.NewConfig("hub")
	for _, key := range config.Paths(withHub) {
		// One stream shows the keys of all streams.
		if strings.HasPrefix(key, "forward.hub.stream.MUSTER_FLEET.") ||
			strings.HasPrefix(key, "stream.") && !strings.HasPrefix(key, "stream.CHORIA_REGISTRATION.") {
			continue
		}
		var at any = tree
		for _, part := range strings.Split(key, ".") {
			table, _ := at.(map[string]any)
			at = table[part]
		}
		if at == nil {
			t.Errorf("%s is not shown", key)
		}
	}
}

func TestParse_BrokerListensOnAllInterfacesOnlyWithTLS(t *testing.T) {
	const files = "[broker.tls]\ncert = 'c'\nkey = 'k'\nca = 'a'\n"
	for name, test := range map[string]struct{ text, want string }{
		"without TLS": {"", "127.0.0.1:4222"},
		"with TLS":    {files, "0.0.0.0:4222"},
		"configured":  {"[broker]\nlisten = '192.0.2.1:5222'\n" + files, "192.0.2.1:5222"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Parse("test.toml", []byte(test.text))
			if err != nil || cfg.Broker.ListenAddress() != test.want {
				t.Errorf("have %s, %v", cfg.Broker.ListenAddress(), err)
			}
		})
	}
}

func TestLoad_ReportsAnUnreadableFileAsAProblem(t *testing.T) {
	_, err := Load("/nowhere/appliance.toml")
	if err == nil || err.Error() != "/nowhere/appliance.toml: no such file or directory" {
		t.Errorf("have %v", err)
	}
}
