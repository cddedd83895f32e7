package host

import (
	"net"
	"testing"
)

func TestFreeAddress_TakesTheNextPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	next := FreeAddress(taken)
	if next == taken {
		t.Fatalf("%s is taken", taken)
	}
	if FreeAddress(next) != next {
		t.Errorf("%s is free and was not returned", next)
	}
}
