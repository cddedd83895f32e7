package appliance

import (
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/jsconfig"
)

const hubText = "identity = 'hub.example.net'\n[broker.sites]\nams = 'collector1.ams.example.net'\n"

func parseHub(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestConfig_AHubStoresWhatEdgesForward(t *testing.T) {
	cfg := parseHub(t, hubText)
	for _, name := range []string{contract.StreamRegistration, contract.StreamFleet} {
		before, s := cfg.Declared.Streams[name], cfg.DeclaredStreams().Streams[name]
		want := []string{before.Subjects[0], contract.SubjectSites + "*." + before.Subjects[0]}
		if !slices.Equal(s.Subjects, want) || !s.AllowDirect {
			t.Errorf("%s stores %v, want %v; allow_direct %v", name, s.Subjects, want, s.AllowDirect)
		}
		if len(before.Subjects) != 1 {
			t.Errorf("the declaration has changed: %v", before.Subjects)
		}
	}
	private, closed := cfg.privateOutputs(), cfg.outputSubjects()
	if !slices.Contains(private, "choria.sites.>") || !slices.Contains(closed, "choria.sites.>") {
		t.Errorf("private %v, closed to nodes %v", private, closed)
	}
	if warnings := cfg.Warnings(); len(warnings) > 0 {
		t.Errorf("warnings %v", warnings)
	}
	if none := parseHub(t, ""); slices.Contains(none.privateOutputs(), "choria.sites.>") ||
		len(none.DeclaredStreams().Streams[contract.StreamFleet].Subjects) != 1 {
		t.Error("an appliance without sites is a hub")
	}
}

// TestConfig_AHubKeepsSubjectsThatTheFileSets requires that the file decides, and that a lack is warned about.
func TestConfig_AHubKeepsSubjectsThatTheFileSets(t *testing.T) {
	const registrations, fleet = "choria.sites.*.choria.node_metadata.>", "choria.sites.*.muster.fleet.>"
	for name, test := range map[string]struct {
		text            string
		storedBy, warns string
	}{
		"subjects": {
			"[stream.CHORIA_REGISTRATION]\nsubjects = ['choria.node_metadata.>', 'x.>']\n", "",
			`no declared stream stores "` + registrations,
		},
		"a transform": {
			"[stream.CHORIA_REGISTRATION.subject_transform]\nsrc = 'choria.node_metadata.>'\ndest = 'n.>'\n", "",
			`no declared stream stores "` + registrations,
		},
		"a stream for all": {
			"[stream.SITES]\nsubjects = ['choria.sites.>']\n", "SITES",
			"stream SITES stores what edges forward, but has allow_direct = false",
		},
		"the default": {
			"[stream.CHORIA_REGISTRATION]\nsubjects = ['choria.node_metadata.>']\n", contract.StreamRegistration, "",
		},
		"disabled": {
			"[fleet]\nenabled = false\n[stream.MUSTER_FLEET]\nenabled = false\n", contract.StreamRegistration,
			`no declared stream stores "` + fleet,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := parseHub(t, hubText+test.text)
			if stored := strings.Join(cfg.DeclaredStreams().StreamsOf(registrations), " "); stored != test.storedBy {
				t.Errorf("stored by %q, want %q", stored, test.storedBy)
			}
			warnings := strings.Join(cfg.Warnings(), "\n")
			if !strings.Contains(warnings, test.warns) || test.warns == "" && warnings != "" {
				t.Errorf("warnings %q, want %q", warnings, test.warns)
			}
		})
	}
}

func TestConfig_WarnsAboutEdgesWithOtherRoles(t *testing.T) {
	cfg := parseHub(t, hubText+"lon = 'edge.mcollective'\n[broker.roles]\nadmin = ['collector1.*']\n")
	warnings := strings.Join(cfg.Warnings(), "\n")
	for _, want := range []string{
		"the certificate collector1.ams.example.net is that of an edge, so broker.roles.admin",
		"the certificate edge.mcollective is that of an edge, so broker.roles.client",
	} {
		if !strings.Contains(warnings, want) {
			t.Errorf("%q is missing in\n%s", want, warnings)
		}
	}
}

func TestNeedRestart_FirstAndLastSite(t *testing.T) {
	none, one := parseHub(t, "identity = 'hub'"), parseHub(t, "identity = 'hub'\n[broker.sites]\nams = 'a'\n")
	other := parseHub(t, "identity = 'hub'\n[broker.sites]\nams = 'b'\nlon = 'a'\n")
	for name, test := range map[string]struct {
		from, to *Config
		want     []string
	}{
		"first": {none, one, []string{"broker.sites"}}, "last": {one, none, []string{"broker.sites"}},
		"another": {one, other, nil}, "the same": {other, other, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if have := NeedRestart(test.from, test.to); !slices.Equal(have, test.want) {
				t.Errorf("have %v, want %v", have, test.want)
			}
		})
	}
	if changed := config.Changed(one, other); !slices.Equal(changed, []string{"broker.sites"}) {
		t.Errorf("changed %v", changed)
	}
}

func TestForwarded_IsWhatTheDefaultStreamsOfAHubStore(t *testing.T) {
	cfg := parseHub(t, hubText)
	for _, forwarded := range jsconfig.Forwarded() {
		if len(cfg.DeclaredStreams().StreamsOf(forwarded)) != 1 || len(cfg.Declared.StreamsOf(forwarded)) != 0 {
			t.Errorf("%s is stored by %v", forwarded, cfg.DeclaredStreams().StreamsOf(forwarded))
		}
	}
}
