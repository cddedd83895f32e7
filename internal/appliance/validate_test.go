package appliance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/config"
)

// issuerKey is the public key of an issuer.
const issuerKey = "4aec06a5bd3ef1ef82acc13357287a9a0a55a4cbceea433837d20c7c7604ea64"

// ownStream is an adapter with a stream of its own, which also stores other subjects.
const ownStream = "[adapter.registration.stream]\ntopic = 'nodes.seen.%s'\n" +
	"[stream.NODES]\nsubjects = ['nodes.seen.>', 'nodes.extra.>']\n"

// mistakes are configurations, each with a part of the problem that Parse must report.
var mistakes = []struct{ text, want string }{
	{
		"identity = 5",
		`test.toml:1: identity: expected text in quotes, found 5`,
	},
	{
		"identity = 'a b'",
		`test.toml:1: identity: "a b" is not a valid name`,
	},
	{
		"site = 'ä'",
		`test.toml:1: site: "ä" is not a valid name`,
	},
	{
		"data_dir = ''",
		`test.toml:1: data_dir: must not be empty; name a directory`,
	},
	{
		"datadir = 'x'",
		`test.toml:1: datadir: unknown key; did you mean "data_dir"?`,
	},
	{
		"[log]\nlevel = 'loud'",
		`test.toml:2: log.level: "loud" is not one of trace, debug, info, warn, error`,
	},
	{
		"[log]\nformat = true",
		`test.toml:2: log.format: true is not one of text, json`,
	},
	{
		"[logs]\nlevel = 'info'",
		`test.toml:1: logs: unknown key; did you mean "log"?`,
	},
	{
		"log = 'info'",
		`test.toml:1: log: expected a table, found "info"; write [log]`,
	},
	{
		"[fleet]\nenabled = false\n[broker]\ngovernor_release = '2m'",
		`test.toml:4: broker.governor_release: set, but the fleet view is disabled`,
	},
	{
		"[broker]\nlisten = '4222'",
		`test.toml:2: broker.listen: "4222" is not an address and a port`,
	},
	{
		"[broker]\nlisten = '127.0.0.1:nats'",
		`test.toml:2: broker.listen: "127.0.0.1:nats" has no port from 0 to 65535`,
	},
	{
		"[broker]\nlisten = '0.0.0.0:4222'",
		`test.toml:2: broker.listen: "0.0.0.0:4222" is open to the network and not encrypted`,
	},
	{
		"[broker]\nlisten = ':4222'",
		`test.toml:2: broker.listen: ":4222" is open to the network`,
	},
	{
		"[broker]\nplaintext = 'yes'",
		`test.toml:2: broker.plaintext: expected true or false without quotes, found "yes"`,
	},
	{
		"[broker]\nmax_connections = '65000'",
		`test.toml:2: broker.max_connections: expected a whole number from 1 to 1000000, found "65000"`,
	},
	{
		"[broker]\nmax_connections = 0",
		`test.toml:2: broker.max_connections: 0 is out of range; it must be from 1 to 1000000`,
	},
	{
		"[broker]\nping_interval = 30",
		`test.toml:2: broker.ping_interval: 30 has no unit; write it in quotes with a unit, such as 90s, 5m or 7d`,
	},
	{
		"[broker]\nping_interval = '30'",
		`test.toml:2: broker.ping_interval: "30" has no known unit`,
	},
	{
		"[broker]\nmax_payload = '2MB'",
		`test.toml:2: broker.max_payload: "2MB" has no known unit; write a number with a unit, such as 64KiB or ` +
			`20GiB`,
	},
	{
		"[broker.mappings]\nin.metrics = 'metrics.all'",
		`broker.mappings.in: expected text in quotes, found a table; write a name with dots in quotes: "in.…"`,
	},
	{
		"[broker.mappings]\n'in.metrics.*' = 'choria.node_metadata.$1'",
		`test.toml:2: broker.mappings.in.metrics.*: the destination "choria.node_metadata.$1" is one of the subjects of ` +
			`Choria, such as events; map only to subjects that begin with two names of your own, such as "metrics.all.>"`,
	},
	{
		ownStream + "[broker.mappings]\n'in.nodes.*' = 'nodes.seen.$1'",
		`test.toml:6: broker.mappings.in.nodes.*: the destination "nodes.seen.$1" overlaps "nodes.seen.>" of a private `,
	},
	{
		ownStream + "[broker.mappings]\n'in.nodes.*' = 'nodes.extra.$1'",
		`test.toml:6: broker.mappings.in.nodes.*: the destination "nodes.extra.$1" overlaps "nodes.extra.>" of a private`,
	},
	{
		"[adapter.registration.stream]\ntopic = 'nodes.seen.%s'\n[broker.mappings]\n'nodes.seen.*' = 'metrics.all.$1'",
		`test.toml:4: broker.mappings.nodes.seen.*: the source overlaps "nodes.seen.>", to which an adapter publishes`,
	},
	{
		"[adapter.registration.ingest]\ntopic = 'in.nodes.*'\n[broker.mappings]\n'in.nodes.web' = 'metrics.all.web'",
		`test.toml:4: broker.mappings.in.nodes.web: the source overlaps "in.nodes.*", which an adapter reads`,
	},
	{
		"[adapter.registration.ingest]\ntopic = '>'",
		`adapter.registration.ingest.topic: ">" includes messages of the server and its clients`,
	},
	{
		"[adapter.registration.ingest]\ntopic = 'choria.>'",
		`"choria.>" includes the output of adapter registration`,
	},
	{
		"[adapter.registration.ingest]\ntopic = 'muster.*.x.y'",
		`"muster.*.x.y" includes rejected messages`,
	},
	{
		"[adapter.registration]\nbind_sender = true",
		`test.toml:2: adapter.registration.bind_sender: true, but no node proves its identity to the broker`,
	},
	{
		"[adapter.registration]\nbind_sender = 'on'",
		`test.toml:2: adapter.registration.bind_sender: expected true or false without quotes, or "auto", found "on"`,
	},
	{
		"[adapter.registration.stream]\nservers = 'foo bar'",
		`test.toml:2: adapter.registration.stream.servers: "foo bar" is not a valid address`,
	},
	{
		"[adapter.registration.stream]\nservers = 'a:1'\ncredentials = '/none'",
		`test.toml:3: adapter.registration.stream.credentials: stat /none: no such file`,
	},
	{
		"[jetstream]\ndomain = 'a b'",
		`test.toml:2: jetstream.domain: "a b" is not a valid domain name`,
	},
	{
		"[fleet]\nlate_after = 'never'",
		`test.toml:2: fleet.late_after: "never" has no known unit; write a number with a unit, such as 90s, 5m or 7d, ` +
			`or "auto"`,
	},
	{
		"[fleet]\nlate_after = '5m'\ndown_after = '5m'",
		`test.toml:3: fleet.down_after: 5m must be more than late_after, which is 5m`,
	},
	{
		"[fleet]\nforget_after = '1h'",
		`test.toml:2: fleet.forget_after: 1h must be more than down_after, which is 1h10m while the interval of a node ` +
			`is not known`,
	},
	{
		"[fleet]\nlate_after = '8d'",
		`fleet.forget_after: 7d must be more than down_after, which is 8d`,
	},
	{
		"[console]\nlisten = '127.0.0.1:99999'",
		`test.toml:2: console.listen: "127.0.0.1:99999" has no port`,
	},
	{
		"[stream.X]\nsubjects = ['a.>', 'a.b']",
		`test.toml:2: stream.X.subjects: "a.b" overlaps "a.>"`,
	},
	{
		"[stream.X]\nsubjects = '$JS.API.>'",
		`test.toml:2: stream.X.subjects: "$JS.API.>" overlaps "$JS.API.>", which is reserved for the server`,
	},
	{
		"[stream.X]\nsubjects = 'x'\nreplicas = 3",
		`test.toml:3: stream.X.replicas: 3 copies need a cluster`,
	},
	{
		"[stream.KV_B]\nsubjects = 'x'",
		`test.toml:1: stream.KV_B: streams whose names begin with KV_ belong to buckets; declare [bucket.B]`,
	},
	{
		"[broker.tls]\ncert = 'x'",
		`test.toml:1: broker.tls.ca: no CA is set; without a CA, or [broker.issuers] for tokens, no connection could ` +
			`prove its identity`,
	},
	{
		"[broker.tls]\nca = 'y'",
		`test.toml:2: broker.tls.ca: given without cert and key, so every connection could write messages that look ` +
			`verified; give cert and key, or accept tokens, or remove ca`,
	},
	{
		"[broker.tls]\ncert = 'x'\nca = 'y'",
		`test.toml:1: broker.tls.key: no private key is set`,
	},
	{
		"[broker.issuers]\nchoria = 'x'",
		`test.toml:2: broker.issuers.choria: not an ed25519 public key: expected 64 hex characters`,
	},
	{
		"[broker.issuers]\nchoria = 5",
		`test.toml:2: broker.issuers.choria: expected text in quotes, found 5`,
	},
	{
		"[broker.issuers]\nchoria = '" + issuerKey + "'\n[broker.signers]\nserver = '" + issuerKey + "'",
		`test.toml:3: broker.signers: set issuers or signers, not both`,
	},
	{
		"[broker.signers]\nclient = '/none'",
		`test.toml:2: broker.signers.client: "/none" is neither 64 hex characters`,
	},
	{
		"[broker.roles]\nadmin = '[a'",
		`test.toml:2: broker.roles.admin: "[a" is not a valid pattern`,
	},
	{
		"[broker]\ncollectives = 'a.b'",
		`test.toml:2: broker.collectives: "a.b" is not a valid collective name`,
	},
	{
		"[broker]\ncollectives = '*'",
		`test.toml:2: broker.collectives: "*" is not a valid collective name`,
	},
	{
		"[broker]\nmain_collective = ''",
		`test.toml:2: broker.main_collective: "" is not a valid collective name; the usual one is "mcollective"`,
	},
	{
		"[broker.roles.reader]\n'replicator.*' = 'CHORIA_*'",
		`test.toml:2: broker.roles.reader.replicator.*: expected names of streams`,
	},
	{
		"[broker.roles]\ncompatible = ['[']",
		`test.toml:2: broker.roles.compatible: "[" is not a valid pattern`,
	},
	{
		"[broker]\nclient_hosts = ['10.0.0.0/8', 'web1']",
		`test.toml:2: broker.client_hosts: "web1" is neither an address nor a network`,
	},
	{
		"[broker.provisioning]\nclient_password = 'x'",
		"test.toml:2: broker.provisioning.client_password: given without TLS, so it could be read on the network",
	},
	{
		"[broker.provisioning]\nclient_password = 'file:/dev/null'",
		"test.toml:2: broker.provisioning.client_password: /dev/null is empty; write the secret into it",
	},
	{
		"[broker.tls]\ncert = '/c'\nkey = '/k'\nca = '/a'\n[broker.provisioning]\nclient_password = 'x'",
		"test.toml:5: broker.provisioning.signer_cert: empty, so no provisioning token is accepted",
	},
	{
		"[broker.provisioning]\nsigner_cert = '" + issuerKey + "'",
		"test.toml:1: broker.provisioning.client_password: empty, so provisioning is off",
	},
	{
		"[broker.tls]\ncert = '/c'\nkey = '/k'\nca = '/a'\n[broker.provisioning]\nclient_password = 'x'\n" +
			"signer_cert = '" + issuerKey + "'\nprovisioner_without_token = true",
		"test.toml:8: broker.provisioning.provisioner_without_token: true, but without [broker.issuers]",
	},
	{
		"[broker]\nmax_connections = 10\n[broker.tls]\ncert = '/c'\nkey = '/k'\n[broker.issuers]\nx = '" + issuerKey + "'\n" +
			"[broker.provisioning]\nclient_password = 'x'\nmax_connections = 11",
		"test.toml:10: broker.provisioning.max_connections: 11 is more than broker.max_connections, which is 10",
	},
	{
		"[broker.system]\nuser = 'x'",
		`test.toml:1: broker.system: give both user and password, or neither`,
	},
	{
		"[broker.system]\nuser = 'provisioner'\npassword = 'y'",
		`test.toml:2: broker.system.user: "provisioner" is the user of Choria's provisioner`,
	},
	{
		"[broker]\nport = 4222",
		`test.toml:2: broker.port: unknown key`,
	},
	{
		"[broker]\nlisten = '127.0.0.1:8222'",
		`console.listen: "127.0.0.1:8222" is taken by broker.listen, which is "127.0.0.1:8222"; use another port`,
	},
	{
		"[broker.websocket]\nlisten = '127.0.0.1:4222'",
		`test.toml:2: broker.websocket.listen: "127.0.0.1:4222" is taken by broker.listen, which is "127.0.0.1:4222"`,
	},
	{
		"[broker.websocket]\nlisten = '127.0.0.1:7422'\n[broker.leafnodes]\nlisten = '127.0.0.1:7422'",
		`test.toml:4: broker.leafnodes.listen: "127.0.0.1:7422" is taken by broker.websocket.listen`,
	},
	{
		"[jetstream]\nmax_storage = '5GiB'",
		`test.toml:2: jetstream.max_storage: 5GiB is less than 13072MiB, the sum of max_bytes of all streams ` +
			`with storage = "file"`,
	},
	{
		"[jetstream]\nsync_interval = '1h'",
		`test.toml:2: jetstream.sync_interval: "1h" is out of range; it must be from 10ms to 10m`,
	},
	{
		"[stream.CHORIA_REGISTRATION]\nno_ack = true",
		`test.toml:2: stream.CHORIA_REGISTRATION.no_ack: true, but adapter registration publishes to it`,
	},
	{
		"[stream.X]",
		`test.toml:1: stream.X.subjects: no subjects`,
	},
	{
		"[stream.X]\nsubjects = 'choria.lifecycle.event.>'",
		`test.toml:2: stream.X.subjects: "choria.lifecycle.event.>" overlaps "choria.lifecycle.>" of stream ` +
			`CHORIA_EVENTS`,
	},
	{
		"[stream.CHORIA_EVENTS]\nmax_age = 1",
		`test.toml:2: stream.CHORIA_EVENTS.max_age: 1 has no unit`,
	},
	{
		"[stream.CHORIA_EVENTS]\nretention = 'forever'",
		`test.toml:2: stream.CHORIA_EVENTS.retention: "forever" is not one of limits, interest, workqueue`,
	},
	{
		"[streams.X]\nsubjects = 'x'",
		`test.toml:1: streams: unknown key; did you mean "stream"?`,
	},
	{
		"[bucket.CHORIA_LEADER_ELECTION]\nhistory = 100",
		`test.toml:2: bucket.CHORIA_LEADER_ELECTION.history: 100 is out of range; it must be from 1 to 64`,
	},
	{
		"[adapter.x]",
		`test.toml:1: adapter.x.ingest.topic: no subject is set; name the subjects to read`,
	},
	{
		"[adapter.x.ingest]\ntopic = 'x'",
		`test.toml:1: adapter.x.ingest.protocol: is missing; write protocol = "request" for registrations`,
	},
	{
		"[adapter.registration]\ntype = 'nats_stream'",
		`test.toml:2: adapter.registration.type: "nats_stream" needs NATS Streaming, which no longer exists; ` +
			`write type = "jetstream"`,
	},
	{
		"[adapter.registration]\ntype = 'kafka'",
		`test.toml:2: adapter.registration.type: "kafka" is not known; write type = "jetstream"`,
	},
	{
		"[adapter.registration]\nverify = 'yes'",
		`test.toml:2: adapter.registration.verify: "yes" is not one of auto, require, record, off`,
	},
	{
		"[adapter.registration]\nbuffer = 'big'",
		`test.toml:2: adapter.registration.buffer: "big" has no known unit`,
	},
	{
		"[adapter.registration.ingest]\ntopc = 'x'",
		`test.toml:2: adapter.registration.ingest.topc: unknown key; did you mean "topic"?`,
	},
	{
		"[adapter.registration.ingest]\ntopic = ['a.>', 'a.b']",
		`test.toml:2: adapter.registration.ingest.topic: "a.b" overlaps "a.>"; a message would be received twice`,
	},
	{
		"[adapter.registration.ingest]\ntopic = 'a b'",
		`test.toml:2: adapter.registration.ingest.topic: "a b" contains a blank`,
	},
	{
		"[adapter.registration.ingest]\nprotocol = 'requests'",
		`test.toml:2: adapter.registration.ingest.protocol: "requests" is not one of request, reply`,
	},
	{
		"[adapter.registration.stream]\ntopic = 'a.*.%s'",
		`test.toml:2: adapter.registration.stream.topic: "a.*.%s" cannot be published to`,
	},
	{
		"[adapter.registration.stream]\nworkers = 10",
		`test.toml:2: adapter.registration.stream.workers: is not needed`,
	},
	{
		"[adapter.registration.stream]\npassword = 'file:/none'",
		`test.toml:2: adapter.registration.stream.password: read the secret: open /none`,
	},
	{
		"[adapter.registration.stream]\nuser = 'x'",
		`adapter.registration.stream.servers: no server is set, but user, password or credentials are`,
	},
	{
		"[adapter.'a.b']\ningest = {topic = 'x', protocol = 'reply'}",
		`"a.b" is not a valid name`,
	},
	{
		"[console]\nlisten = '0.0.0.0:8222'\ntoken = 'sixteen or longer'",
		`test.toml:2: console.listen: "0.0.0.0:8222" is open to the network; give a token and certificates`,
	},
	{
		"[console]\ntoken = 'short'",
		`test.toml:2: console.token: has 5 characters`,
	},
	{
		"[console.tls]\ncert = '/nowhere'",
		`console.tls.key: no private key is set; TLS needs cert and key`,
	},
	{
		"[console]\nlisten = '0.0.0.0:8222'",
		`test.toml:2: console.listen: "0.0.0.0:8222" is open to the network; give a token and certificates`,
	},
	{
		"[fleet]\nadvisories = true\n[stream.CHORIA_REGISTRATION_ADVISORIES]\nsubjects = 'x'",
		`test.toml:2: fleet.advisories: true, but no declared stream stores ` +
			`choria.stream.input.registration_advisories`,
	},
	{
		"[broker.sites]\n'a.b' = 'x'",
		`broker.sites.a.b: "a.b" is not a valid name of a site; use 1 to 64 of A-Z, a-z, 0-9, _ and -`,
	},
	{
		"[broker.sites]\nams = 'a b'",
		`test.toml:2: broker.sites.ams: "a b" is not a valid name of an edge; write the name in its certificate`,
	},
	{
		"site = 'ams'\n[broker.sites]\nams = 'x'",
		`test.toml:3: broker.sites.ams: "ams" is the site of this appliance; name only sites whose edges`,
	},
	{
		"identity = 'ams'\n[broker.sites]\nams = 'x'",
		`test.toml:3: broker.sites.ams: "ams" is the site of this appliance`,
	},
	{
		"site = 'ams.example.net'\n[forward.hub]\nservers = 'tls://hub:4222'",
		`test.toml:1: site: "ams.example.net" cannot be the site of an appliance that forwards; set site to 1 to 64`,
	},
	{
		"site = 'ams'\n[forward.hub]\nservers = ['wss://hub', 'http://hub']",
		`test.toml:3: forward.hub.servers: "http://hub" is not a valid server; write a URL such as ` +
			`tls://hub.example.net:4222 or wss://hub.example.net`,
	},
	{
		"site = 'ams'\n[forward.hub]\nservers = 'wss://edge:secret@hub'",
		`test.toml:3: forward.hub.servers: "wss://hub" has a user; use the keys user and password`,
	},
	{
		"site = 'ams'\n[forward.hub]\nservers = ['wss://hub/nats', 'WS://hub', 'tls://hub']",
		`test.toml:3: forward.hub.servers: "wss://hub/nats" and "tls://hub" are of different kinds; write all with wss://`,
	},
	{
		"site = 'ams'\n[forward.hub]\nservers = 'wss://hub'\nproxy = 'socks5://edge:secret@proxy:1080'",
		`test.toml:4: forward.hub.proxy: "socks5" is not a scheme of a proxy; write http:// or https://`,
	},
	{
		"[stream.X]\nsubjects = 'choria.sites.>'\nno_ack = true\n[broker.sites]\nams = 'x'",
		`test.toml:3: stream.X.no_ack: true, but edges forward to it and wait for acks`,
	},
	{
		"[adapter.registration.ingest]\ntopic = 'choria.sites.*.x'\n[broker.sites]\nams = 'x'",
		`test.toml:2: adapter.registration.ingest.topic: "choria.sites.*.x" includes what edges forward`,
	},
	{
		"identity = 'a..b'",
		`test.toml:1: identity: "a..b" is not a valid name`,
	},
	{
		"site = 'a b'",
		`test.toml:1: site: "a b" is not a valid name`,
	},
	{
		"identity = \"a\"\nidentity = \"b\"",
		`test.toml:2: `,
	},
	{
		"[broker\nlisten = 'x'",
		`test.toml:2: expected`,
	},
	{
		"identity = unquoted",
		`test.toml:1: `,
	},
}

func TestParse_ReportsEachMistakeWithItsLine(t *testing.T) {
	if len(mistakes) < 30 {
		t.Errorf("only %d mistakes are tested", len(mistakes))
	}
	for _, test := range mistakes {
		t.Run(test.text, func(t *testing.T) {
			_, err := Parse("test.toml", []byte(test.text))
			var problems config.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s\nhave %v\nwant %s", test.text, err, test.want)
			}
		})
	}
}

func TestParse_ReportsAllMistakesAtOnce(t *testing.T) {
	text, count := "", 0
	for _, part := range []string{
		"identity = 5", "[log]\nlevel = 'loud'", "[broker]\nport = 4222", "[adapter.registration]\ntype = 'kafka'",
	} {
		text += part + "\n"
		count++
	}
	_, err := Parse("test.toml", []byte(text))
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != count || !slices.IsSorted(lines) {
		t.Errorf("have %d lines\n%v", len(lines), err)
	}
}

func TestParse_ReportsOneMistakeOnce(t *testing.T) {
	_, err := Parse("test.toml", []byte("[broker.tls]\ncert = 'x'\nkey = 'y'\n[broker.issuers]\nchoria = 'zz'\n"))
	want := "test.toml:5: broker.issuers.choria: not an ed25519 public key: expected 64 hex characters"
	if err == nil || err.Error() != want {
		t.Errorf("have %v, want %s", err, want)
	}
}

func TestConfig_Warnings(t *testing.T) {
	cfg, err := Parse("test.toml", []byte("[adapter.registration.stream]\ntopic = 'elsewhere'\n"+
		"[stream.CHORIA_EVENTS]\nmax_bytes = -1\n"+
		"[fleet]\nstream = 'NODES'\n[stream.MUSTER_FLEET]\nsubjects = 'muster.other.>'\n"))
	if err != nil {
		t.Fatal(err)
	}
	warnings := strings.Join(cfg.Warnings(), "\n")
	for _, want := range []string{
		`adapter registration publishes to "elsewhere", which no declared stream stores`,
		"stream CHORIA_EVENTS has no max_bytes",
		`fleet.stream is "NODES", which is not declared`,
		"events of the fleet view are not stored",
	} {
		if !strings.Contains(warnings, want) {
			t.Errorf("%q is missing in\n%s", want, warnings)
		}
	}
}
