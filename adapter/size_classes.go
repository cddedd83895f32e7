package adapter

import "math/bits"

// sizeClasses sorts the peers with waiting messages by their load, four classes for each power of
// two, so that one of the largest is found at once, whatever the number of peers.
type sizeClasses struct {
	lists    [256]peerList
	nonEmpty [4]uint64 // a bit for each list; a bit stays set until largest finds the list empty
}

// of returns the list for a positive weight.
func (s *sizeClasses) of(weight int64) *peerList {
	class := sizeClass(uint64(weight))
	s.nonEmpty[class/64] |= 1 << (class % 64)
	return &s.lists[class]
}

// sizeClass returns the class of a positive weight: its power of two, and the two bits that follow
// its first bit.
func sizeClass(weight uint64) int {
	exponent := bits.Len64(weight) - 1
	quarter := weight << (63 - exponent) << 1 >> 62
	return 4*exponent + int(quarter)
}

// largest returns a peer whose load is at least four fifths of that of any other with waiting
// messages; nil if no message is waiting.
func (s *sizeClasses) largest() *peerQueue {
	for word := len(s.nonEmpty) - 1; word >= 0; word-- {
		for s.nonEmpty[word] != 0 {
			bit := bits.Len64(s.nonEmpty[word]) - 1
			if first := s.lists[64*word+bit].first; first != nil {
				return first
			}
			s.nonEmpty[word] &^= 1 << bit
		}
	}
	return nil
}
