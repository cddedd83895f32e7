package broker

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

// TestPermissionBuilder_NoClientReadsTheWriteToken subscribes as a client that may subscribe to everything. No private
// stream is declared; governors may be made at any time.
func TestPermissionBuilder_NoClientReadsTheWriteToken(t *testing.T) {
	s := openSite(t, nil)
	everything := clientClaims("choria=all", nil)
	everything.SubSubjects = []string{">", "muster.write.>", "$JS.EVENT.>"}
	p := s.peer(t, s.withToken(issue(t, everything, s.issuer, time.Now()))...)
	p.mustRead(map[string]string{"x.>": "x.y", "$JS.EVENT.ADVISORY.STREAM.>": "$JS.EVENT.ADVISORY.STREAM.CREATED.S"})
	p.mustNotRead(map[string]string{
		contract.SubjectWrite + ">": contract.SubjectWrite + "token.choria.governor.G",
		contract.SubjectAPIAdvisory: contract.SubjectAPIAdvisory,
	})
	for _, subject := range []string{contract.SubjectWrite + "token.x", contract.SubjectAPIAdvisory} {
		if got, _ := p.reads(">", subject); got {
			t.Errorf("a subscription to everything receives %s", subject)
		}
	}
}
