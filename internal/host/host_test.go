//go:build linux

package host

import "testing"

func TestWhatTheMachineGives(t *testing.T) {
	if n, err := Descriptors(); err != nil || n == 0 {
		t.Errorf("%d descriptors, %v", n, err)
	}
	if n, err := Backlog(); err != nil || n == 0 {
		t.Errorf("a backlog of %d, %v", n, err)
	}
	if _, err := Tracked(); err != nil {
		t.Error(err)
	}
	if _, err := ClockKept(); err != nil {
		t.Error(err)
	}
}
