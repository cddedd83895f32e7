package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/throttle"
)

func TestServerLog_LimitsWarnings(t *testing.T) {
	var text syncBuffer
	now := time.Unix(1000, 0)
	l := &serverLog{
		log: hclog.New(&hclog.LoggerOptions{Output: &text}), now: func() time.Time { return now },
		warnings: throttle.New(refusalInterval),
	}
	subject := strings.Repeat("x", 100_000)
	for _, connection := range []string{"cid:1 - \"a - b\"", "cid:2", "cid:3"} {
		l.Warnf("127.0.0.1:1 - "+connection+" - Readloop processing time: %v", time.Second)
		l.Warnf("Internal subscription on %q took too long: %v", subject, time.Second)
	}
	if lines := strings.Count(text.String(), "\n"); lines != 2 || len(text.String()) > 3*maxLine {
		t.Errorf("%d lines, %d bytes: %.3000s", lines, len(text.String()), text.String())
	}
	now = now.Add(refusalInterval)
	l.Warnf("127.0.0.1:1 - cid:4 - Readloop processing time: %v", time.Second)
	if !strings.HasSuffix(text.String(), "cid:4 - Readloop processing time: 1s: count=3\n") {
		t.Errorf("%s", text.String())
	}
}
