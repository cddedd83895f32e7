package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// Each link has an account of its own, in which the leaf node is alone. The account and that of the nodes import from
// each other, as streams, exactly what crosses. So there is a list of what is allowed at both ends of a link, also at
// the end that connects, where NATS itself only has lists of what is denied. In the account of the nodes a leaf node
// could also do what NATS lets every leaf node do: acknowledge messages of streams ($JS.ACK), and send replies to
// services (_R_).
//
// No permission keeps a leaf node from publishing below _R_. With anyCollective the imports take _R_ for the name of a
// collective: _R_.reply.x arrives at a connection that subscribes for every collective. The subjects below _R_ that
// NATS subscribes to never match an import: their second token has six characters.
//
// The server gives a message of a link only to subscribers that are connected to this broker: an import of an import
// has no subscribers. So what crosses a link does not cross another one, messages cannot loop, and no adapter, stream
// or service of the appliance receives what a leaf node sends.

// leafAccountPrefix begins the names of the accounts of links.
const leafAccountPrefix = "leafnode-"

// leafAccount returns the name of the account of a link: that of an accepted "peer", by its name, or of a "remote".
func leafAccount(kind, name string) string {
	hash := sha256.Sum256([]byte(kind + " " + name))
	return leafAccountPrefix + hex.EncodeToString(hash[:8])
}

// crossing is which subjects cross a link.
type crossing struct {
	out    []string // to the other side
	in     []string // from the other side
	denied []string // in no direction, also where out and in include them
}

// neverCollectives are what anyCollective does not include on a link: what Choria, Muster and NATS use the first token
// for.
var neverCollectives = []string{
	"choria.>", "muster.>", "$JS.>", "$SYS.>", "$KV.>", "$O.>", "$SRV.>", "$MUSTER.>", "$MQTT.>", "$NRG.>", "$JSC.>",
	"$LDS.>", "_INBOX.>", "_R_.>", "_GR_.>",
}

// crossingOf returns the subjects of a link.
func (b *Broker) crossingOf(allowed Crossing) (x crossing) {
	collectives := b.cfg.Collectives
	if len(collectives) == 0 {
		collectives = []string{anyCollective}
	}
	var requests, replies []string
	x.denied = append(x.denied, neverCollectives...)
	for _, c := range collectives {
		requests = append(requests, c+".broadcast.agent.>", c+".broadcast.service.>", c+".node.>")
		replies = append(replies, c+".reply.>")
		x.denied = append(x.denied, c+".broadcast.agent.registration")
	}
	x.denied = withoutCovered(append(append(x.denied, b.opts.Ingest...), b.opts.Private...))
	if allowed.sends() {
		x.out, x.in = append(x.out, requests...), append(x.in, replies...)
	}
	if allowed.receives() {
		x.out, x.in = append(x.out, replies...), append(x.in, requests...)
	}
	return x
}

// permissions returns those of the leaf node that is accepted.
func (x crossing) permissions() *server.Permissions {
	s := subjects{publish: x.in, neverPublish: x.denied, subscribe: x.out, neverSubscribe: x.denied}
	return s.permissions()
}

// leafAccounts returns the accounts of all links, which exchange what crosses with that of the nodes.
func (b *Broker) leafAccounts(nodes *server.Account) ([]*server.Account, error) {
	links := map[string]Crossing{}
	if b.cfg.Leafnodes.Listen != "" {
		for name, allowed := range b.cfg.Leafnodes.Peers {
			links[leafAccount("peer", name)] = allowed
		}
	}
	for _, r := range b.cfg.Leafnodes.EnabledRemotes() {
		links[leafAccount("remote", r.Name)] = r.Allow
	}
	var all []*server.Account
	for name, allowed := range links {
		link := server.NewAccount(name)
		x := b.crossingOf(allowed)
		if err := errors.Join(importStreams(nodes, link, x.out), importStreams(link, nodes, x.in)); err != nil {
			return nil, fmt.Errorf("account of a leaf node: %w", err)
		}
		all = append(all, link)
	}
	return all, nil
}

// importStreams makes what is published to the subjects in one account arrive at subscribers of the other.
//
// It imports from an account of the same name that has only the exports; the server puts the real one in its place.
// NATS refuses two accounts that import one subject from each other, which they do if requests cross in both
// directions: it takes that for a loop. It is none, because imports of imports have no subscribers.
func importStreams(from, to *server.Account, subjects []string) error {
	exporter := server.NewAccount(from.Name)
	for _, subject := range subjects {
		err := errors.Join(
			from.AddStreamExport(subject, []*server.Account{to}),
			exporter.AddStreamExport(subject, nil),
			to.AddStreamImport(exporter, subject, ""),
		)
		if err != nil {
			return fmt.Errorf("import %s: %w", subject, err)
		}
	}
	return nil
}

// newAccount returns an account in which connections of nodes and clients have the limit of subscriptions. With leaf
// nodes the server's limit is theirs, which is higher. NATS reads that of an account only from a configuration.
func newAccount(name string) (*server.Account, error) {
	var o server.Options
	text := fmt.Sprintf("accounts { %q { limits { max_subscriptions: %d } } }", name, maxSubscriptions)
	if err := o.ProcessConfigString(text); err != nil {
		return nil, fmt.Errorf("account %s: %w", name, err)
	}
	return o.Accounts[0], nil
}
