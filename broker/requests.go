package broker

import (
	"fmt"

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

// DialSystem opens an internal connection into the system account that delivers messages to the receiver.
// It does not reconnect.
func (b *Broker) DialSystem(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error) {
	return b.dial(name, b.auth.systemSecret, subjects, receiver)
}
