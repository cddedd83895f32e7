package broker

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOptions_ControlLineHoldsTwoTokens(t *testing.T) {
	b := openBroker(t)
	accept(t, b)
	c, err := net.Dial("tcp", b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	if info, err := r.ReadString('\n'); err != nil || !strings.Contains(info, `"nonce":`) {
		t.Fatalf("INFO %s: %v", info, err)
	}
	token := strings.Repeat("x", 7<<10)
	fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"jwt\":%q,\"auth_token\":%q}\r\nPING\r\n", token, token)
	if pong, err := r.ReadString('\n'); err != nil || pong != "PONG\r\n" {
		t.Errorf("%s: %v", pong, err)
	}
}

func TestListenError_SaysWhatToDoAboutLowPorts(t *testing.T) {
	refused := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}
	const want = "broker.websocket.listen: listen tcp: bind: permission denied; use a port of 1024 or higher, " +
		"or allow it in the unit as docs/operate.md says"
	if err := listenError("broker.websocket.listen", refused); err.Error() != want || !errors.Is(err, syscall.EACCES) {
		t.Errorf("have %v", err)
	}
	if err := listenError("broker.listen", syscall.EADDRINUSE); strings.Contains(err.Error(), "unit") {
		t.Errorf("have %v", err)
	}
}
