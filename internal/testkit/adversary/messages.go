package adversary

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/nats-io/nats.go"
	"github.com/segmentio/ksuid"
)

// all returns every attack, in the order of the rotation.
func (a *Adversary) all() []attack {
	attacks := []attack{
		{"odd subjects", a.messages(a.oddSubjects)},
		{"long subjects", a.messages(a.longSubjects)},
		{"certificate chains", a.messages(a.certificateChains)},
		{"deep JSON", a.messages(a.deepJSON)},
		{"bombs", a.messages(a.sendBombs)},
		{"other senders", a.messages(a.otherSenders)},
		{"flood", a.messages(a.flood)},
		{"forged shutdown events", a.messages(a.shutdownEvents)},
		{"reply subjects of a node", a.messages(a.nodeReplies)},
		{"reply subjects of a client", a.clientReplies},
		{"Nats headers", a.messages(a.natsHeaders)},
		{"protocol violations", a.violations},
		{"half-open connections", a.halfOpen},
		{"connection churn", a.churn},
		{"slow readers", a.slowReaders}, {"readers of an own inbox", a.floodInbox},
		{"subscriptions", a.subscriptions},
		{"own connections", a.ownConnections},
	}
	if a.o.Captured != nil {
		attacks = append(attacks, attack{"replays", a.messages(a.replays)})
	}
	if a.o.Console != "" {
		attacks = append(attacks,
			attack{"console: idle connections", a.consoleIdle}, attack{"console: slow headers", a.consoleSlow},
			attack{"console: followers that do not read", a.consoleFollowers},
			attack{"console: requests", a.consoleRequests})
	}
	return attacks
}

// ids returns two request ids, for protocol 1 and 2.
func ids() (string, string) {
	return fmt.Sprintf("%032x", ksuid.New().Bytes())[:32], ksuid.New().String()
}

// registration returns a signed registration of the adversary in protocol 2, which is cheap to sign.
func (a *Adversary) registration(body []byte) []byte {
	_, id := ids()
	raw, _ := choria.NewRegistration(id, Name, simnode.Collective, time.Now(), body).EncodeV2(a.node.Key, a.node.Token)
	return raw
}

// certified returns a registration in protocol 1 that carries the certificates, which are PEM, and is
// signed with the adversary's key.
func (a *Adversary) certified(sender, certificates string, body []byte) []byte {
	id, _ := ids()
	r := choria.NewRegistration(id, sender, simnode.Collective, time.Now(), body)
	r.Caller = "choria=" + sender
	raw, _ := r.EncodeV1(a.rsa.RSA, certificates)
	return raw
}

// smallBody is the content of registrations whose content does not matter.
func smallBody() []byte { return fileBody([]byte(`{"os":{"name":"hostile"}}`)) }

// messages returns an attack that publishes what make returns over the node's connection.
func (a *Adversary) messages(make func() []*nats.Msg) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		nc, err := a.connection("node", a.node)
		if err != nil {
			return 0, err
		}
		return publish(nc, make())
	}
}

// publish publishes messages and returns how many the server has read.
func publish(nc *nats.Conn, messages []*nats.Msg) (int, error) {
	n := 0
	for _, m := range messages {
		if err := nc.PublishMsg(m); err != nil {
			return 0, err
		}
		n++
	}
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		return 0, err
	}
	return n, nil
}

// on returns a message for a subject. Message headers may be nil.
func on(subject string, data []byte) *nats.Msg { return &nats.Msg{Subject: subject, Data: data} }

// registrations wraps messages for the subject of registrations.
func registrations(data ...[]byte) []*nats.Msg {
	messages := make([]*nats.Msg, len(data))
	for i := range data {
		messages[i] = on(simnode.Subject, data[i])
	}
	return messages
}

// ingest begins the subjects, other than simnode.Subject, that adapters read.
const ingest = "choria.registration."

func (a *Adversary) oddSubjects() (messages []*nats.Msg) {
	raw := a.registration(smallBody())
	for _, rest := range []string{
		"*", ">", "a.*.b", "ü\u202e", "%s%n", "$SYS", "'\"", strings.Repeat("a.", 200) + "b",
		"..", "\x01", "\xff", a.victim(),
	} {
		messages = append(messages, on(ingest+rest, raw))
	}
	return messages
}

// longSubjects returns messages on the longest subjects that the broker accepts, and around the limit
// of the adapter.
func (a *Adversary) longSubjects() (messages []*nats.Msg) {
	raw := a.registration(smallBody())
	longest := inproc.MaxControlLine - len(fmt.Sprintf(" %d", len(raw)))
	for _, length := range []int{511, 512, 513, 4096, longest / 2, longest} {
		messages = append(messages, on(ingest+strings.Repeat("x", length-len(ingest)), raw))
	}
	return messages
}

// chains returns certificates that cost much time to verify, for a message of the certificate's owner.
func chains(tb testing.TB, own string) []string {
	now := time.Now()
	large, allowed := authority.NewHostileKey(tb, 6144, math.MaxInt32), authority.NewHostileKey(tb, 2048, 65537)
	return []string{
		authority.HostileChain(tb, large, 2, "Hostile CA", now),
		own + authority.HostileChain(tb, allowed, 3, "Hostile CA", now),
		authority.HostileChain(tb, allowed, 4, "Hostile CA", now),
		strings.Repeat(own, 40),
		own[:len(own)/2], "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", strings.Repeat("-", 100_000),
	}
}

func (a *Adversary) certificateChains() []*nats.Msg {
	var data [][]byte
	for _, chain := range a.chains {
		data = append(data, a.certified(Name, chain, smallBody()))
	}
	return registrations(data...)
}

// deepJSON returns messages that are nested deeply themselves, at each of their layers.
func (a *Adversary) deepJSON() []*nats.Msg {
	deep := bytes.Repeat([]byte("["), 900_000)
	objects := bytes.Repeat([]byte(`{"a":`), 150_000)
	headers := append([]byte(`{"protocol":"choria:transport:1","data":"e30=","headers":`), objects...)
	return registrations(deep, objects, headers, a.registration(deep[:200_000]), a.registration(objects[:200_000]))
}

func (a *Adversary) sendBombs() []*nats.Msg {
	var data [][]byte
	for _, b := range a.bombs {
		data = append(data, a.certified(Name, a.rsa.Certificate, b.Body))
	}
	return registrations(data...)
}

// otherSenders returns messages that name an honest node as their sender, or no valid one.
func (a *Adversary) otherSenders() []*nats.Msg {
	var data [][]byte
	for _, sender := range []string{
		a.victim(), a.victim(), "*", ">", "a..b", "a b", "", strings.Repeat("s", 300), "\u202e",
	} {
		data = append(data, a.certified(sender, a.rsa.Certificate, smallBody()))
		_, id := ids()
		raw, _ := choria.NewRegistration(id, sender, simnode.Collective, time.Now(), smallBody()).
			EncodeV2(a.node.Key, a.node.Token)
		data = append(data, raw)
	}
	return registrations(data...)
}

// replays returns a captured message of an honest node, on each of the subjects that adapters read.
func (a *Adversary) replays() (messages []*nats.Msg) {
	for range 20 {
		raw := a.o.Captured()
		if raw == nil {
			break
		}
		messages = append(messages, on(simnode.Subject, raw), on(ingest+a.victim(), raw), on(simnode.Subject, raw))
	}
	return messages
}

func (a *Adversary) flood() []*nats.Msg {
	data := make([][]byte, a.o.Flood)
	content := smallBody()
	for i := range data {
		data[i] = a.registration(content)
	}
	return registrations(data...)
}

// shutdownEvents returns shutdown events of honest nodes, with times around now.
func (a *Adversary) shutdownEvents() (messages []*nats.Msg) {
	for _, victim := range a.o.Victims {
		for _, shift := range []time.Duration{-time.Hour, 0, time.Second, 24 * time.Hour} {
			id, _ := ids()
			event, _ := choria.EncodeShutdown(victim, id, time.Now().Add(shift))
			messages = append(messages, on(choria.ShutdownSubject, event),
				on("choria.lifecycle.event.shutdown.provision_mode_server", event))
		}
	}
	return messages
}

// targets are reply subjects that an answer of the server or of JetStream must not reach.
func targets(victim string) []string {
	return []string{
		contract.SubjectNodeMetadata + victim, contract.SubjectFleetNode + "down." + victim,
		contract.SubjectFleetSite + "storm.test", contract.SubjectRejected + "registration.malformed",
		contract.SubjectAdvisories, simnode.Subject, choria.ShutdownSubject,
		"$JS.API.STREAM.PURGE." + contract.StreamRegistration, "$JS.API.STREAM.DELETE." + contract.StreamRegistration,
		"$JS.API.STREAM.DELETE." + contract.StreamFleet, "$JS.API.STREAM.UPDATE." + contract.StreamRegistration,
		"$JS.API.STREAM.MSG.DELETE." + contract.StreamRegistration, "$SYS.REQ.SERVER.PING",
	}
}

// nodeReplies returns messages with reply subjects, on everything that a node may publish to.
func (a *Adversary) nodeReplies() (messages []*nats.Msg) {
	raw := a.registration(smallBody())
	for _, target := range targets(a.victim()) {
		for _, subject := range []string{
			simnode.Subject, ingest + "x", simnode.Collective + ".submission.in.x", "choria.submission.in.x",
			choria.ShutdownSubject, "choria.machine.transition", simnode.Collective + ".reply.x.y",
			"$JS.API.STREAM.INFO." + contract.StreamRegistration, "nothing.subscribes.here",
		} {
			messages = append(messages, &nats.Msg{Subject: subject, Reply: target, Data: raw})
		}
	}
	return messages
}

// clientReplies publishes requests to the server and to JetStream whose answers go to the targets.
func (a *Adversary) clientReplies(context.Context) (int, error) {
	nc, err := a.connection("client", a.client)
	if err != nil {
		return 0, err
	}
	var messages []*nats.Msg
	for _, target := range targets(a.victim()) {
		for _, subject := range []string{
			"$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING", "$JS.API.INFO", "$JS.API.STREAM.NAMES",
			"$JS.API.STREAM.INFO." + contract.StreamRegistration, "$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION",
			"$JS.API.DIRECT.GET." + contract.StreamRegistration,
			"$JS.API.STREAM.MSG.GET." + contract.StreamRegistration, "$KV.CHORIA_LEADER_ELECTION.x", target,
		} {
			messages = append(messages, &nats.Msg{Subject: subject, Reply: target, Data: []byte(`{"seq":1}`)})
		}
	}
	return publish(nc, messages)
}

// natsHeaders returns messages with headers that the server or a stream obeys, on subjects that adapters
// read and on those of their streams.
func (a *Adversary) natsHeaders() (messages []*nats.Msg) {
	victim := a.victim()
	expected := "Nats-Expected-Last-"
	for key, values := range map[string][]string{
		"Nats-Msg-Id": {"registration/" + victim + "/1"}, "Nats-Rollup": {"sub", "all"},
		"Nats-Trace-Dest":      {contract.SubjectNodeMetadata + victim, targets(victim)[7]},
		"Nats-Trace-Only":      {"true"},
		"Nats-Request-Info":    {`{"user":"` + victim + `","acc":"$G","id":1,"name":"` + victim + `"}`},
		"Nats-Expected-Stream": {"X"},
		expected + "Sequence":  {"1"}, expected + "Subject-Sequence": {"1"}, expected + "Msg-Id": {"x"},
		"Nats-TTL": {"1s", "never"}, "Nats-Schedule": {"@every 1s"}, "Nats-Incr": {"+1"}, "Nats-Batch-Id": {"x"},
		"Status": {"503"}, contract.HeaderSender: {victim}, contract.HeaderVerified: {"x509"},
		"X": {strings.Repeat("x", 100_000)},
	} {
		for _, value := range values {
			for _, subject := range []string{simnode.Subject, ingest + "x", contract.SubjectNodeMetadata + victim} {
				m := on(subject, a.registration(smallBody()))
				m.Header = nats.Header{key: {value}}
				messages = append(messages, m)
			}
		}
	}
	return messages
}
