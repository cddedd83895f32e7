package forward

import "time"

type decision int

const (
	forwardIt decision = iota
	leaveUnchanged
	leaveSampled
)

type selector struct{}

func newSelector(*Stream, []string) *selector                 { return &selector{} }
func (s *selector) decide(m *message, now time.Time) decision { return forwardIt }
func (s *selector) forwarded(m *message, now time.Time)       {}
