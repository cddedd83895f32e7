package broker

import (
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats-server/v2/server"
)

// neverCompatible are what a node with the role compatible may not publish to. Requests to JetStream's API
// that nodes need are at contract.SubjectChecked, so the API itself is closed as a whole.
var neverCompatible = []string{
	"$JS.API.>", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>", "$KV.CHORIA_LEADER_ELECTION.>", "choria.streams.>", "muster.>",
}

// compatibleNode returns the permissions of a node with a certificate that has the role compatible: it may
// do what unmodified Choria nodes do on Choria's broker. Its registrations may have any target, so it may
// publish to every subject, except those of the appliance and of JetStream.
func (b permissionBuilder) compatibleNode(name string) *server.Permissions {
	var s subjects
	s.allowPublish(">")
	s.denyPublish(neverCompatible...)
	s.denyPublish(b.private...)
	s.allowSubscribe("*.broadcast.agent.>", "*.broadcast.service.>", "*.node."+name)
	s.allowSubscribe(b.certInbox(name)...)
	s.allowSubscribe(republished(defaultOrg)...)
	s.denySubscribe("*.broadcast.agent.registration")
	s.denySubscribe(b.registrationTopics()...)
	s.denySubscribe(reservedSubscribe...)
	return s.permissions()
}

// readerPermissions returns the permissions of a connection with the role reader: it reads the streams and
// does nothing else.
func (b permissionBuilder) readerPermissions(name string, streams []string) *server.Permissions {
	const checked, api = contract.SubjectChecked, contract.PrefixAPI
	var s subjects
	s.allowSubscribe(b.certInbox(name)...)
	s.allowSubscribe(allInboxes)
	s.allowPublish(api+"INFO", api+"STREAM.NAMES")
	for _, stream := range streams {
		s.allowPublish(
			checked+"STREAM.INFO."+stream, checked+"STREAM.MSG.GET."+stream, api+"DIRECT.GET."+stream,
			api+"DIRECT.GET."+stream+".>", checked+"CONSUMER.CREATE."+stream, checked+"CONSUMER.CREATE."+stream+".>",
			api+"CONSUMER.DURABLE.CREATE."+stream+".*", checked+"CONSUMER.DELETE."+stream+".*", api+"CONSUMER.INFO."+stream+".*",
			api+"CONSUMER.NAMES."+stream, api+"CONSUMER.LIST."+stream, api+"CONSUMER.MSG.NEXT."+stream+".*",
			"$JS.ACK."+stream+".>", "$JS.FC."+stream+".>",
		)
	}
	return s.permissions()
}
