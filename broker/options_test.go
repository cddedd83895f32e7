package broker

import (
	"bufio"
	"fmt"
	"net"
	"strings"
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
