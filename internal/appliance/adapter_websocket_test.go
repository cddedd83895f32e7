package appliance_test

import (
	"fmt"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestAdapter_PublishesOverWebSocket(t *testing.T) {
	t.Parallel()
	other := testkit.Appliance(t, "[broker.websocket]\nlisten = '127.0.0.1:0'\n[stream.COPY]\nsubjects = 'copy.>'\n")
	a := testkit.Appliance(t, fmt.Sprintf("[adapter.registration.stream]\nservers = '%s'\ntopic = 'copy.%%s'\n",
		other.Listeners()["websocket"]))
	register(t, a, "web1", 1)
	wait.Eventually(t, func() error {
		stream, err := testkit.JetStream(t, other).Stream(t.Context(), "COPY")
		if err != nil {
			return err
		}
		_, err = stream.GetLastMsgForSubject(t.Context(), "copy.web1")
		return err
	})
}
