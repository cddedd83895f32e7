package uplink

import "testing"

func TestStream_Balanced(t *testing.T) {
	s := Stream{
		Read: 127, Forwarded: 1, Duplicate: 2, Unchanged: 4, Sampled: 8, Superseded: 16, Rejected: 32, Pending: 64, Unread: 5,
	}
	if !s.Balanced() || s.Behind() != 69 {
		t.Errorf("balanced: %v, behind: %d; want true, 69", s.Balanced(), s.Behind())
	}
	s.Pending--
	if s.Balanced() {
		t.Error("a stream with a message that is not accounted for is balanced")
	}
}
