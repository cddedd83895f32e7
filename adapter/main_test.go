package adapter_test

import (
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go/jetstream"
)

// allCaptures configures an appliance that stores all captures: registrations, also those to two
// custom targets and of a provisioning collective, in both formats, and replies.
const allCaptures = `
[adapter.registration.ingest]
topic = ["*.broadcast.agent.registration", "cmdb.registration.*", "provisioning.registration.data"]

[adapter.replies]
ingest = {topic = "mcollective.reply.>", protocol = "reply"}
stream = {topic = "adapter.replies.%s"}

[adapter.plain.ingest]
topic = ["*.broadcast.agent.registration", "cmdb.registration.*", "provisioning.registration.data"]
protocol = "request"
[adapter.plain.stream]
topic = "plain.%s"
format = "plain"

[stream.CHORIA_REGISTRATION]
max_msgs_per_subject = 100
[stream.REPLIES]
subjects = "adapter.replies.>"
max_bytes = "1MiB"
[stream.PLAIN]
subjects = "plain.>"
max_bytes = "1MiB"
`

// storedMessages returns the messages of a stream by sender/request id, and fails if one is stored
// twice.
func storedMessages(t *testing.T, js jetstream.JetStream, stream string) map[string]jetstream.Msg {
	t.Helper()
	all := map[string]jetstream.Msg{}
	for _, m := range testkit.Messages(t, js, stream) {
		_, key, _ := strings.Cut(m.Headers().Get(contract.HeaderMsgID), "/")
		if all[key] != nil {
			t.Errorf("%s has %s twice", stream, key)
		}
		all[key] = m
	}
	return all
}
