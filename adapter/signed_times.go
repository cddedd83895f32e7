package adapter

import (
	"cmp"
	"hash/maphash"
	"slices"
	"time"
)

const (
	// reorderWindow is how much older than the newest message of its sender a message may be signed.
	// Protocol 1 signs whole seconds, a node may publish several registrations within one, and
	// messages may overtake each other.
	reorderWindow = int64(5 * time.Second / time.Microsecond)
	// maxSenders is how many senders are remembered. Beyond it, one of those that signed nothing for
	// the longest time is forgotten.
	maxSenders = 500_000
	// maxSenderIDs is how many ids are remembered of one sender, maxIDs of all senders with several.
	maxSenderIDs = 1024
	maxIDs       = 1 << 20
)

// signedTimes remembers when the senders of verified messages signed them, so that a copy of an
// old message is recognized. It compares the clock of a sender with itself.
//
// For each sender it has a floor, in signed time, and the ids of the accepted messages above the
// floor. A message at or below the floor is old, and one above it whose id is remembered is a copy.
// Together these are all messages that were accepted. So none is accepted twice, except old ones
// over their sender's own connection, which may sign a new message anyway: its clock may have been
// set back. The floor is reorderWindow below the newest accepted message, and never goes back.
//
// A message that is ahead of the appliance's clock by more than skew raises the floor only to the
// appliance's clock less skew, so that a node is accepted when its clock has been corrected. This
// is the only use of the appliance's clock.
//
// What another connection can do that has messages of a sender:
//
//	the sender                  the message was accepted   the message never arrived
//	has the right time, or is   refused                    accepted if signed after the floor
//	  behind
//	was ahead and is corrected  refused: the id is         accepted if signed after the floor, which
//	                            remembered                 then rises with the appliance's clock
//	was set back                refused: the floor stays   accepted if signed after the floor
//	has more ids than are       refused: the floor is the  accepted if signed after the floor
//	  remembered                newest forgotten id
//	is read from the stream     refused: the floor is the  accepted if signed after the floor
//	  after a restart           newest stored time
//	is not known, or forgotten  accepted once, the oldest  accepted
//	                            first
//
// It is guarded by the adapter's mutex, except for identify.
type signedTimes struct {
	skew    int64 // µs
	seed    maphash.Seed
	senders map[uint64]lastSigned // by the hash of the sender; without pointers, so the collector skips it
	several map[uint64][]signedID // the ids of the senders for which lastSigned has no place
	ids     int                   // sum of the lengths in several
	one     [1]signedID           // memory for load

	maxSenders, maxIDs int
}

// lastSigned is a sender's floor, and the id of the message that raised it. Nearly every sender
// has no other id above its floor.
type lastSigned struct {
	floor int64  // µs since 1970
	id    uint64 // 0: none; else its message was signed reorderWindow after the floor
}

// signedID is the id of an accepted message, as a hash.
type signedID struct {
	id   uint64
	time int64 // when it was signed, µs since 1970
}

// signedMessage identifies a verified message. Two messages with the same values are copies.
type signedMessage struct {
	sender uint64 // hash
	signedID
}

// verdict is what signedTimes decides about a message.
type verdict int

const (
	fresh   verdict = iota // accepted
	setBack                // accepted, because it came over the sender's own connection: its clock was set back
	isCopy                 // refused: this message was accepted before
	isOld                  // refused: the sender has signed newer messages
)

func newSignedTimes(skew time.Duration) *signedTimes {
	return &signedTimes{
		skew:    skew.Microseconds(),
		seed:    maphash.MakeSeed(),
		senders: map[uint64]lastSigned{},
		several: map[uint64][]signedID{},

		maxSenders: maxSenders, maxIDs: maxIDs,
	}
}

// identify returns what judge needs to know of a message. It may be called without the mutex.
func (s *signedTimes) identify(sender, id string, signed time.Time) signedMessage {
	return signedMessage{
		sender:   maphash.String(s.seed, sender),
		signedID: signedID{id: max(1, maphash.String(s.seed, id)), time: signed.UnixMicro()},
	}
}

// judge decides about a verified message, and remembers it if it is accepted. own reports that it
// came over the connection of its sender. newest is the newest time that the sender has signed
// before, µs since 1970; 0 if it is not known.
func (s *signedTimes) judge(m signedMessage, own bool, received time.Time) (v verdict, newest int64) {
	floor, ids, known := s.load(m.sender)
	if known {
		newest = newestOf(floor, ids)
	}
	switch {
	case slices.Contains(ids, m.signedID):
		return isCopy, newest
	case known && m.time <= floor && !own:
		return isOld, newest
	case known && m.time < floor:
		return setBack, newest
	case known && m.time == floor: // forgotten ids may have the same time, so only its own connection gets here
		return fresh, newest
	}
	if !known {
		s.makeRoom()
		floor = -1
	}
	if raised := s.floorFor(m.time, received.UnixMicro()); raised > floor {
		floor = raised
		ids = removeUpTo(ids, floor)
	}
	s.store(m.sender, floor, append(ids, m.signedID))
	return fresh, newest
}

// floorFor returns the floor that follows from a message alone.
func (s *signedTimes) floorFor(signed, received int64) int64 {
	if signed > received+s.skew {
		return min(signed-reorderWindow, received-s.skew)
	}
	return signed - reorderWindow
}

// restore makes a time the floor of a sender, as if all of its messages up to then were accepted
// and their ids forgotten.
func (s *signedTimes) restore(sender string, signed time.Time) {
	key := maphash.String(s.seed, sender)
	last, known := s.senders[key]
	if !known {
		s.makeRoom()
	}
	s.senders[key] = lastSigned{floor: max(last.floor, signed.UnixMicro())}
}

// load returns the floor of a sender and its ids above the floor. The ids are valid until the next
// call; with room for one more they may be in s.one.
func (s *signedTimes) load(sender uint64) (floor int64, ids []signedID, known bool) {
	last, known := s.senders[sender]
	ids, several := s.several[sender]
	if !several {
		ids = s.one[:0]
	}
	if last.id != 0 {
		ids = append(ids, signedID{last.id, last.floor + reorderWindow})
	}
	return last.floor, ids, known
}

// store replaces what is remembered of a sender. It forgets its oldest ids if there are too many.
func (s *signedTimes) store(sender uint64, floor int64, ids []signedID) {
	had := s.several[sender]
	s.ids -= len(had)
	last := lastSigned{floor: floor}
	if len(ids) == 1 && ids[0].time == floor+reorderWindow {
		last.id, ids = ids[0].id, nil
	}
	for len(ids) > maxSenderIDs || len(ids) > 0 && s.ids+len(ids) > s.maxIDs {
		last.floor = slices.MinFunc(ids, func(a, b signedID) int { return cmp.Compare(a.time, b.time) }).time
		ids = removeUpTo(ids, last.floor)
	}
	s.senders[sender] = last
	switch {
	case len(ids) == 0:
		delete(s.several, sender)
		return
	case had == nil || cap(ids) > 16 && cap(ids) > 4*len(ids):
		ids = slices.Clone(ids) // they are in s.one, or waste memory
	}
	s.several[sender] = ids
	s.ids += len(ids)
}

// makeRoom forgets a sender if there are maxSenders: of a few at random the one whose floor is the
// lowest.
func (s *signedTimes) makeRoom() {
	if len(s.senders) < s.maxSenders {
		return
	}
	var oldest uint64
	seen := 0
	for sender, last := range s.senders {
		if seen == 0 || last.floor < s.senders[oldest].floor {
			oldest = sender
		}
		if seen++; seen == 16 {
			break
		}
	}
	s.ids -= len(s.several[oldest])
	delete(s.several, oldest)
	delete(s.senders, oldest)
}

// newestOf returns the newest time that a sender has signed, as far as it is remembered.
func newestOf(floor int64, ids []signedID) int64 {
	for _, id := range ids {
		floor = max(floor, id.time)
	}
	return floor
}

// removeUpTo removes the ids that are not above the floor.
func removeUpTo(ids []signedID, floor int64) []signedID {
	return slices.DeleteFunc(ids, func(id signedID) bool { return id.time <= floor })
}
