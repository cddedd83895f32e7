package broker

import (
	"fmt"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats-server/v2/server"
)

// Account is the name of the account of nodes, clients and streams.
const Account = account

// mapRequests makes the appliance receive some requests to JetStream's API in place of JetStream: those that
// change or delete something, those that describe streams, and all about private streams (see
// internal/privatestream). JetStream receives requests in the system account, which the account of the
// streams imports as a service. So the mappings of the system account apply to every request, also to one
// that JetStream itself has sent; and NATS checks the permissions of a client before them.
func (b *Broker) mapRequests(system *server.Account) error {
	if !b.opts.CheckRequests {
		return nil
	}
	mappings := [][2]string{
		{"STREAM.*", "STREAM.{{wildcard(1)}}"},           // lists
		{"STREAM.INFO.*", "STREAM.INFO.{{wildcard(1)}}"}, // governors are private, and more of them may be created
		{"STREAM.MSG.DELETE.*", "STREAM.MSG.DELETE.{{wildcard(1)}}"},
		{"CONSUMER.DELETE.*.*", "CONSUMER.DELETE.{{wildcard(1)}}.{{wildcard(2)}}"},
	}
	for _, operation := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE"} {
		mappings = append(mappings, [2]string{"STREAM." + operation + ".*", "STREAM." + operation + ".{{wildcard(1)}}"})
	}
	for _, stream := range b.opts.PrivateStreams {
		mappings = append(mappings, [2]string{"STREAM.*." + stream, "STREAM.{{wildcard(1)}}." + stream})
	}
	err := system.AddMapping(contract.SubjectRawAPI+">", "$JS.API.>")
	for _, m := range mappings {
		if err == nil {
			err = system.AddMapping("$JS.API."+m[0], contract.SubjectAPI+m[1])
		}
	}
	if err != nil {
		return fmt.Errorf("map requests to JetStream: %w", err)
	}
	return nil
}

// mapChecked makes some requests of nodes and clients to JetStream's API arrive at contract.SubjectChecked in
// the system account, where the appliance decides on them by the role of the connection: NATS's permissions
// cannot name all streams with a prefix, such as buckets, without a list that grows with them. NATS checks the
// permissions of a client after these mappings. They do not apply to what JetStream itself sends.
func (b *Broker) mapChecked(nodes, system *server.Account) error {
	if !b.opts.CheckRequests {
		return nil
	}
	if err := importShared(nodes, system, contract.SubjectChecked+">", answerExpiry); err != nil {
		return fmt.Errorf("import %s>: %w", contract.SubjectChecked, err)
	}
	prefixes := []string{contract.PrefixAPI}
	if b.js.Domain != "" { // NATS maps this prefix to the other one, unless an earlier mapping applies
		prefixes = append(prefixes, "$JS."+b.js.Domain+".API.")
	}
	for _, prefix := range prefixes {
		for _, request := range contract.CheckedRequests() {
			to := strings.Replace(request, "*", "{{wildcard(1)}}", 1)
			to = strings.Replace(to, "*", "{{wildcard(2)}}", 1)
			if err := nodes.AddMapping(prefix+request, contract.SubjectChecked+to); err != nil {
				return fmt.Errorf("map %s%s: %w", prefix, request, err)
			}
		}
	}
	return nil
}

// DialSystem opens an internal connection into the system account that delivers messages to the receiver.
// It does not reconnect.
func (b *Broker) DialSystem(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error) {
	return b.dial(name, b.auth.systemSecret, subjects, receiver)
}
