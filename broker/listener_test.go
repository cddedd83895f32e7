package broker

import "testing"

func TestListenerIn_ReadsTheKindOfTheConnection(t *testing.T) {
	for description, want := range map[string]listener{
		`192.0.2.7:40112 - cid:53`:                                     listenerNATS,
		`192.0.2.7:40112 - cid:53 - "v1:go:x - wid:7" - "choria/web1"`: listenerNATS,
		`192.0.2.7:40112 - wid:53 - "v1:go: - cid:7"`:                  listenerWebSocket,
		`[2001:db8::5]/192.0.2.7:40112 - wid:53`:                       listenerWebSocket,
		`192.0.2.7:40112 - lid:53`:                                     listenerLeafnode,
		`192.0.2.7:40112 - lid_ws:53`:                                  listenerLeafnode,
		`192.0.2.7:40112 - mid_ws:53`:                                  listenerNone,
		` - cid:53`:                                                    listenerNATS, // in this process
		`client offered cid:5`:                                         listenerNone,
	} {
		if have := listenerIn(description); have != want {
			t.Errorf("%s: %d, want %d", description, have, want)
		}
	}
}
