package brokerconf

// features are what a Choria broker does for nodes, clients and other brokers that an appliance does
// not do. Each is in use if one of its keys is. A version of Muster that gains a feature removes its
// entry here and translates the keys.
var features = []struct {
	keys   []string
	inUse  func(t *translation, key string) bool
	reason string // what stops working, and what to do instead
}{
	{[]string{network + "peers", network + "peer_port"}, (*translation).isSet,
		"the appliance is not part of a cluster: clients here do not reach nodes at the other brokers, " +
			"and no other broker replaces this one when it fails; use a second appliance for a second site"},
	{[]string{network + "gateway_remotes"}, (*translation).isSet,
		"the appliance has no gateways: clients here do not reach nodes of the other clusters, nor clients there nodes here"},
	{[]string{"plugin.choria.broker_federation"}, (*translation).isEnabled,
		"clients of the federation do not reach the nodes here; let the clients connect to this appliance"},
}

// losses remarks on the features of Choria's broker in use that an appliance does not have.
func (t *translation) losses() {
	for _, feature := range features {
		for _, key := range feature.keys {
			if feature.inUse(t, key) {
				t.loss(key, feature.reason)
				break
			}
		}
	}
}

// isSet reports whether a key is set. It does not mark it as used.
func (t *translation) isSet(key string) bool { return t.entries[key].value != "" }

// isEnabled reports whether Choria reads a key as true. It does not mark it as used.
func (t *translation) isEnabled(key string) bool { return isTrue(t.entries[key].value) }
