package adapter

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// base is when the messages of these tests are signed, more or less.
var base = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// minutes returns base and so many minutes.
func minutes(m float64) time.Time { return base.Add(time.Duration(m * float64(time.Minute))) }

func TestSignedTimes_States(t *testing.T) {
	type step struct {
		signed, received float64 // minutes after base
		id               string
		own              bool
		want             verdict
	}
	const own, other = true, false
	for name, steps := range map[string][]step{
		"newer messages over any connection": {
			{0, 0, "a", other, fresh}, {5, 5, "b", own, fresh}, {10, 10, "c", other, fresh},
		},
		"several messages in one second": {
			{0, 0, "a", other, fresh}, {0, 0, "b", other, fresh}, {0, 0, "a", other, isCopy},
			{0, 0, "b", own, isCopy}, {0, 0, "c", other, fresh},
		},
		"messages overtake each other by less than the window": {
			{1, 1, "a", other, fresh}, {1 - 4.0/60, 1, "b", other, fresh}, {1 - 4.0/60, 1, "b", other, isCopy},
			{1 - 5.0/60, 1, "c", other, isOld}, {1, 1, "a", other, isCopy},
		},
		"copies of all ages": {
			{0, 0, "a", own, fresh}, {5, 5, "b", own, fresh}, {10, 10, "c", own, fresh},
			{0, 11, "a", other, isOld}, {5, 11, "b", other, isOld}, {10, 11, "c", other, isCopy},
			{10, 60 * 24 * 365, "c", other, isCopy},
		},
		"an old message under an id of its own": {
			{10, 10, "a", own, fresh}, {5, 11, "never seen", other, isOld},
		},
		"a message that never arrived": {
			{0, 0, "a", own, fresh}, {5, 60, "lost", other, fresh}, {5, 60, "lost", other, isCopy},
		},
		"a clock that is an hour behind": {
			{0, 60, "a", other, fresh}, {5, 65, "b", other, fresh}, {0, 66, "a", other, isOld}, {5, 66, "b", other, isCopy},
		},
		"a clock that is an hour ahead": {
			{60, 0, "a", other, fresh}, {65, 5, "b", other, fresh}, {60, 6, "a", other, isCopy}, {65, 6, "b", other, isCopy},
		},
		"a clock that was ahead and is corrected": {
			{-5, -5, "a", other, fresh}, {60, 0, "b", other, fresh}, {65, 5, "c", other, fresh},
			{10, 10, "d", other, fresh}, {15, 15, "e", other, fresh},
			{60, 16, "b", other, isCopy}, {10, 16, "d", other, isOld},
			// Its time comes while the sender is down.
			{60, 60, "b", other, isCopy}, {65, 65, "c", other, isCopy}, {60, 66, "b", own, isCopy},
		},
		"a clock that was ahead from the first message on": {
			{60, 0, "a", other, fresh}, {5, 5, "b", other, fresh}, {-11, 5, "old", other, isOld}, {60, 60, "a", other, isCopy},
		},
		"a clock that is set back": {
			{0, 0, "a", own, fresh}, {5, 5, "b", own, fresh},
			{-60, 10, "c", other, isOld}, // another connection cannot set it back
			{-60, 10, "d", own, setBack}, {-55, 15, "e", own, setBack},
			// What was accepted before stays refused, and so does what is signed now.
			{0, 16, "a", other, isOld}, {5, 16, "b", other, isCopy}, {-60, 16, "d", other, isOld}, {-55, 16, "e", other, isOld},
			{-50, 20, "f", other, isOld}, {-50, 20, "f", own, setBack},
			{10, 80, "g", other, fresh}, // the clock has passed the floor
		},
		"1970": {{-29_000_000, 0, "a", own, fresh}, {0, 0, "b", own, fresh}, {-29_000_000, 1, "a", own, setBack}},
		"an appliance whose clock is years behind": {
			{0, -5e6, "a", other, fresh}, {5, -5e6, "b", other, fresh}, {0, -5e6, "a", other, isCopy},
			{10, 10, "c", other, fresh}, {0, 11, "a", other, isOld}, {10, 11, "c", other, isCopy},
		},
		"an appliance whose clock is years ahead": {
			{0, 5e6, "a", other, fresh}, {5, 5e6, "b", other, fresh}, {0, 5e6, "a", other, isOld}, {5, 5e6, "b", other, isCopy},
			{10, 10, "c", other, fresh},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSignedTimes(10 * time.Minute)
			for i, step := range steps {
				m := s.identify("web1", step.id, minutes(step.signed))
				if have, _ := s.judge(m, step.own, minutes(step.received)); have != step.want {
					t.Fatalf("step %d, %+v: the verdict is %d", i, step, have)
				}
			}
		})
	}
}

func TestSignedTimes_SendersDoNotAffectEachOther(t *testing.T) {
	s := newSignedTimes(10 * time.Minute)
	for i := range 1000 {
		sender := fmt.Sprintf("web%d", i)
		if v, newest := s.judge(s.identify(sender, "a", minutes(float64(-i))), false, base); v != fresh || newest != 0 {
			t.Fatalf("%s: %d, %d", sender, v, newest)
		}
	}
	if v, _ := s.judge(s.identify("web500", "a", minutes(-500)), false, base); v != isCopy {
		t.Errorf("a copy: %d", v)
	}
}

func TestSignedTimes_Restore(t *testing.T) {
	s := newSignedTimes(10 * time.Minute)
	s.restore("web1", minutes(5))
	s.restore("web1", minutes(3)) // later in the stream
	for i, step := range []struct {
		signed float64
		own    bool
		want   verdict
	}{
		{5, false, isOld}, {4.99, false, isOld}, {5, true, fresh}, {4, true, setBack}, {5.01, false, fresh},
	} {
		v, newest := s.judge(s.identify("web1", fmt.Sprint(i), minutes(step.signed)), step.own, minutes(6))
		if v != step.want || newest != minutes(5).UnixMicro() {
			t.Errorf("%+v: %d, newest %s", step, v, time.UnixMicro(newest).UTC())
		}
	}
}

func TestSignedTimes_ForgetsOldestIDsOfOneSender(t *testing.T) {
	s := newSignedTimes(10 * time.Minute)
	random := rand.New(rand.NewPCG(1, 2))
	accepted := map[signedMessage]bool{}
	var sent []signedMessage
	for i := range 20 * maxSenderIDs {
		m := s.identify("web1", fmt.Sprint(i), base.Add(time.Duration(random.Int64N(int64(4*time.Second)))))
		if i%3 == 2 {
			m = sent[random.IntN(len(sent))]
		}
		sent = append(sent, m)
		if v, _ := s.judge(m, false, base); v == fresh && accepted[m] {
			t.Fatalf("message %d is accepted twice", i)
		} else if v == fresh {
			accepted[m] = true
		}
	}
	if n := len(s.several[sent[0].sender]); n > maxSenderIDs || len(accepted) < maxSenderIDs {
		t.Errorf("%d ids are remembered, %d messages accepted", n, len(accepted))
	}
}

func TestSignedTimes_BoundsSendersAndIDs(t *testing.T) {
	s := newSignedTimes(10 * time.Minute)
	s.maxSenders, s.maxIDs = 5000, 8000
	for i := range s.maxSenders + 100 {
		for id := range 3 { // all ahead of the appliance's clock, so that all ids are remembered
			s.judge(s.identify(fmt.Sprint(i), fmt.Sprint(id), minutes(float64(60+id))), false, base)
		}
	}
	ids := 0
	for sender, of := range s.several {
		if ids += len(of); s.senders[sender].id != 0 {
			t.Fatal("an id of a sender with several is elsewhere")
		}
	}
	if len(s.senders) != s.maxSenders || ids != s.ids || ids > s.maxIDs || ids < s.maxIDs-3 {
		t.Errorf("%d senders, %d ids, counted %d", len(s.senders), ids, s.ids)
	}
	for id := range 3 {
		m := s.identify(fmt.Sprint(s.maxSenders+99), fmt.Sprint(id), minutes(float64(60+id)))
		if v, _ := s.judge(m, false, base); v == fresh {
			t.Errorf("a copy of message %d is accepted", id)
		}
	}
}

func TestSignedTimes_ForgetsAnOldSender(t *testing.T) {
	s := newSignedTimes(10 * time.Minute)
	s.maxSenders = 10_000
	for i := range s.maxSenders {
		s.restore(fmt.Sprint(i), minutes(float64(i%100)))
	}
	s.restore("another", minutes(200))
	left := map[int64]int{} // by minutes after base
	for _, last := range s.senders {
		left[(last.floor-base.UnixMicro())/60e6]++
	}
	for minute, n := range left {
		if n < s.maxSenders/100 && minute > 60 && minute < 200 { // it is the oldest of sixteen
			t.Errorf("a sender was forgotten that is newer than %d percent of the others", minute)
		}
	}
	if len(s.senders) != s.maxSenders || left[200] != 1 {
		t.Errorf("%d senders, %d new ones", len(s.senders), left[200])
	}
}

// naiveTimes is what signedTimes does, with a list of everything that one sender ever signed.
type naiveTimes struct {
	accepted []signedMessage
	floor    int64
}

func (n *naiveTimes) judge(m signedMessage, own bool, received, skew int64) verdict {
	for _, a := range n.accepted {
		if a == m && m.time > n.floor {
			return isCopy
		}
	}
	switch {
	case len(n.accepted) > 0 && m.time < n.floor && own:
		return setBack
	case len(n.accepted) > 0 && m.time == n.floor && own:
		return fresh
	case len(n.accepted) > 0 && m.time <= n.floor:
		return isOld
	}
	if len(n.accepted) == 0 {
		n.floor = -1
	}
	n.accepted = append(n.accepted, m)
	raised := m.time - 5_000_000
	if m.time > received+skew {
		raised = min(raised, received-skew)
	}
	n.floor = max(n.floor, raised)
	return fresh
}

// compareWithNaive judges the messages that the bytes describe, four for each message, with a
// signedTimes and with the naive model.
func compareWithNaive(t *testing.T, data []byte) {
	t.Helper()
	const skew = 10 * time.Second
	s, models := newSignedTimes(skew), map[uint64]*naiveTimes{}
	others := map[signedMessage]bool{} // accepted over other connections
	received := base
	for ; len(data) >= 4; data = data[4:] {
		sender, own := data[0]%3, data[0]&0x80 != 0
		received = received.Add(time.Duration(int8(data[3])/8) * time.Second)
		signed := received.Add(time.Duration(int8(data[2])) * time.Second / 4)
		m := s.identify(string(rune('a'+sender)), string(rune('0'+data[1]%8)), signed)
		if models[m.sender] == nil {
			models[m.sender] = &naiveTimes{}
		}
		want := models[m.sender].judge(m, own, received.UnixMicro(), skew.Microseconds())
		have, _ := s.judge(m, own, received)
		if have != want {
			t.Fatalf("%+v received %s, own %v: verdict %d, want %d", m, received, own, have, want)
		}
		if !own && have != isCopy && have != isOld {
			if others[m] {
				t.Fatalf("%+v is accepted twice", m)
			}
			others[m] = true
		}
	}
}

func TestSignedTimes_AgreesWithNaiveModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		data := make([]byte, 4*400)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		compareWithNaive(t, data)
	}
}

func FuzzSignedTimes(f *testing.F) {
	f.Add([]byte("aaaabbbbaaaa"))
	f.Fuzz(compareWithNaive)
}

// BenchmarkSignedTimes registers 300 000 senders again and again, and reports what they take.
func BenchmarkSignedTimes(b *testing.B) {
	const senders = 300_000
	names := make([]string, senders)
	for i := range names {
		names[i] = fmt.Sprintf("node%06d.example.net", i)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := newSignedTimes(10 * time.Minute)
	for _, name := range names {
		s.judge(s.identify(name, "a", base), true, base)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	now, i := base, 0
	for b.Loop() {
		if i++; i%senders == 0 {
			now = now.Add(5 * time.Minute)
		}
		s.judge(s.identify(names[i%senders], "a423430b88af442d80492c4c62232a93", now.Add(time.Minute)), true, now)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
	runtime.KeepAlive(names)
}
