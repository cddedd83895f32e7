package cli

import (
	"strings"
	"testing"
)

// status recognizes a disabled fleet view by the code of the error, whatever its sentence says.
func TestStatus_FleetDisabled(t *testing.T) {
	for name, answer := range map[string]string{
		"sentence of today":    `{"code":"fleet-disabled","error":"the fleet view is disabled: fleet.enabled is false"}`,
		"sentence of tomorrow": `{"code":"fleet-disabled","error":"there is no fleet view"}`,
	} {
		t.Run(name, func(t *testing.T) {
			answers := withAnswer(readyAnswers(0, 0), "/varz", `{"server_name":"collector1"}`)
			answers = withAnswer(answers, "/api/v1/streams", `{"streams":[],"changes":[]}`)
			url := fakeConsole(t, withAnswer(answers, "/api/v1/fleet", answer))
			status, out, errOut := muster(t, "status", "--server", url)
			if status != 0 || !strings.Contains(out, "the fleet view is disabled: fleet.enabled is false") {
				t.Errorf("%d %s%s", status, out, errOut)
			}
		})
	}
}
