package broker

import "testing"

func TestPermissionBuilder_SharedWithAgents(t *testing.T) {
	for topic, shared := range map[string]bool{
		"mcollective.broadcast.agent.registration": false,
		"*.broadcast.agent.registration":           false,
		"mcollective.broadcast.agent.cmdb":         false,
		"cmdb.registration.>":                      false,
		"choria.registration":                      false,
		"mcollective.broadcast.agent":              false,
		"mcollective.broadcast.agent.discovery":    true,
		"mcollective.broadcast.agent.*":            true,
		"mcollective.broadcast.agent.>":            true,
		"mcollective.>":                            true,
		"*.*.*.*":                                  true,
		"mcollective.node.>":                       true,
		"mcollective.node.web1":                    true,
	} {
		t.Run(topic, func(t *testing.T) {
			if have := sharedWithAgents(topic); have != shared || shared && TopicWarning(topic) == "" {
				t.Errorf("sharedWithAgents(%q) = %t", topic, have)
			}
		})
	}
}

// TestPermissionBuilder_AgentsStayReachable has an adapter that listens to the example of Choria's packages.
func TestPermissionBuilder_AgentsStayReachable(t *testing.T) {
	const discovery = "mcollective.broadcast.agent.discovery"
	s := openSite(t, nil)
	s.broker.auth.permissions.ingest = []string{discovery}
	p := s.peer(t, s.certificate("web1"))
	p.mustRead(map[string]string{discovery: discovery, "mcollective.broadcast.agent.>": discovery})
	p.mustNotPublish(discovery) // it would be a request to the other nodes
	const registration = "mcollective.broadcast.agent.registration"
	p.mustNotRead(map[string]string{registration: registration})
}
