package broker

import (
	"slices"
	"strings"
)

// choriaAgents are agents that listen on every Choria server, or that Choria's own plugins bring. An adapter that
// reads what is sent to one of them reads requests, which are not secret, see registrationTopics.
var choriaAgents = []string{
	"aaa_signer", "choria_provision", "choria_registry", "choria_util", "discovery", "executor", "filemgr",
	"machine_manager", "machine_transition", "package", "puppet", "rpcutil", "scout", "service", "shell",
}

// registrationTopics returns those of the adapters' subjects on which nodes publish registrations. They are
// closed to nodes: a registration is secret. An adapter may also read what is sent to an agent, or to all
// agents. Nodes listen there, so these subjects stay open; that of registrations is always closed.
func (b permissionBuilder) registrationTopics() []string {
	return slices.DeleteFunc(slices.Clone(b.ingest), sharedWithAgents)
}

// sharedWithAgents reports whether agents of nodes listen to a subject: whether it includes what is sent to
// one of Choria's agents, or to several agents, or to a node.
func sharedWithAgents(topic string) bool {
	tokens := strings.Split(topic, ".")
	for i, want := range []string{anyCollective, "broadcast", "agent"} {
		switch {
		case i >= len(tokens):
			return false
		case tokens[i] == ">":
			return true
		case want != anyCollective && tokens[i] != want && tokens[i] != "*":
			return i == 1 && tokens[i] == "node" // *.node.NAME
		}
	}
	return len(tokens) > 3 && (tokens[3] == "*" || tokens[3] == ">" || slices.Contains(choriaAgents, tokens[3]))
}

// TopicWarning returns what to know about a subject that an adapter reads, if it is one of agents; empty
// otherwise.
func TopicWarning(topic string) string {
	tokens := strings.Split(topic, ".")
	switch {
	case sharedWithAgents(topic):
		return "agents of nodes listen to this subject, so the adapter also reads requests, and nodes may publish there " +
			"only with the role compatible; every node could read a registration there; " +
			"for registrations use *.broadcast.agent.registration, or a subject of their own"
	case len(tokens) > 3 && tokens[1] == "broadcast" && tokens[3] != "registration":
		return "nodes may not subscribe to this subject, because the adapter reads registrations there: requests to an " +
			"agent named " + tokens[3] + " do not reach them"
	default:
		return ""
	}
}
