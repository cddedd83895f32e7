package inproc

import (
	"fmt"
	"strings"
	"testing"
)

// TestPeerReader_ReadsOnlyWhatTheServerWrote reads header blocks of peers that try to choose the
// publisher. The server drops the last two bytes of a block and adds its own header.
func TestPeerReader_ReadsOnlyWhatTheServerWrote(t *testing.T) {
	const (
		own    = requestInfo + `{"start":"2030-01-01T00:00:00Z","host":"::1","id":8,"user":"web1","name":"n","rtt":7}`
		forged = requestInfo + `{"id":9,"user":"web2","name":"m"}`
		begin  = "NATS/1.0\r\n"
		end    = "\r\n\r\n"
	)
	web1 := Peer{ID: 8, User: "web1", Name: "n", Host: "::1"}
	for name, test := range map[string]struct {
		headers string
		want    Peer
	}{
		"the server's header":       {begin + own + end, web1},
		"after others":              {begin + "A: b\r\n" + own + end, web1},
		"after a forged one":        {begin + forged + "\r\n" + own + end, web1},
		"tracing disabled":          {begin + own + traceDisabled + end, web1},
		"forged one at the end":     {begin + own + "\r\n" + forged[:5] + end, Peer{}},
		"within a line":             {begin + forged + "\r\nA: b" + own + end, Peer{}},
		"after a forged value":      {begin + forged + own + end, Peer{}},
		"after half a forged value": {begin + requestInfo + `{"user":"web2","x":"` + own + end, Peer{}},
		"other header":              {begin + "A: b" + end, Peer{}},
		"status":                    {"NATS/1.0 503\r\n\r\n", Peer{}},
		"not JSON":                  {begin + requestInfo + "web2" + end, Peer{}},
		"no headers":                {"", Peer{}},
		"names are text": {
			begin + requestInfo + `{"id":8,"user":"a","name":"\",\"user\":\"web2","tags":[{"user":"web2"}]}` + end,
			Peer{ID: 8, User: "a", Name: `","user":"web2`},
		},
		"no user": {
			begin + requestInfo + `{"id":8,"name":"n","kind":"JetStream"}` + end, Peer{ID: 8, Name: "n", Kind: "JetStream"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var r peerReader
			for range 2 { // the second one is remembered
				if got := r.read([]byte(test.headers)); got != test.want {
					t.Errorf("%+v, want %+v", got, test.want)
				}
			}
		})
	}
}

// TestConn_ReadsThePublisherAfterLargeHeaders sends headers that are longer than the reader's buffer.
func TestConn_ReadsThePublisherAfterLargeHeaders(t *testing.T) {
	to := &recorder{maxSize: 100}
	conn, s := open(t, to, "")
	headers := "NATS/1.0\r\nA: " + strings.Repeat("x", 3*readBuffer) + "\r\n" + requestInfo + `{"id":8,"user":"web1"}` +
		"\r\n\r\n"
	go func() {
		s.write(fmt.Sprintf("HMSG a.x 0 %d %d\r\n%sabc\r\n", len(headers), len(headers)+len("abc"), headers))
		s.write("MSG a.x 0 4\r\nnone\r\n")
		_ = s.conn.Close()
	}()
	_ = conn.Run()
	if len(to.peers) != 2 || to.peers[0] != (Peer{ID: 8, User: "web1"}) || to.peers[1] != (Peer{}) {
		t.Errorf("received %q of %+v", to.got, to.peers)
	}
}

func BenchmarkPeerReader(b *testing.B) {
	headers := []byte("NATS/1.0\r\n" + requestInfo + `{"start":"2026-12-01T10:00:00.123456789Z","host":"127.0.0.1",` +
		`"id":8,"acc":"choria","user":"node0.example.net","name":"node0.example.net","lang":"go","ver":"1.55.0",` +
		`"rtt":123456,"server":"collector1.example.net","kind":"Client","client_type":"nats"}` + "\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		var r peerReader // as if the last message was of another publisher
		r.read(headers)
	}
}
