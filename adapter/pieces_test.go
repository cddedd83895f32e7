package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

func TestMessagesLeaveTheQueueInTheOrderOfArrival(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var q queue
	var taken, left []*message
	for n := range 1000 {
		q.put(&message{tries: n})
		if r.IntN(3) > 0 {
			taken = append(taken, q.take())
		}
		if len(taken) > 0 && r.IntN(2) > 0 {
			at := r.IntN(len(taken))
			taken[at].parsed = true
			taken = append(taken[:at], taken[at+1:]...)
		}
		for m := q.leave(); m != nil; m = q.leave() {
			left = append(left, m)
		}
	}
	for m := q.take(); m != nil; m = q.take() {
		taken = append(taken, m)
	}
	for _, m := range taken {
		m.parsed = true
	}
	for m := q.leave(); m != nil; m = q.leave() {
		left = append(left, m)
	}
	for n, m := range left {
		if m.tries != n {
			t.Fatalf("message %d left as number %d", m.tries, n)
		}
	}
	if len(left) != 1000 {
		t.Errorf("%d messages left", len(left))
	}
}

func TestALaneLetsOneMessageGoAtATime(t *testing.T) {
	l := newLanes()
	a1, a2, b1 := &message{sender: "a", tries: 1}, &message{sender: "a", tries: 2}, &message{sender: "b", tries: 1}
	l.enter(a1)
	l.enter(a2)
	l.enter(b1)
	if l.next() != a1 || l.next() != b1 || l.next() != nil {
		t.Fatal("the second of a sender went before the verdict on the first")
	}
	l.hold(a1)
	l.again(a1)
	if l.next() != a1 || l.next() != nil {
		t.Fatal("a retry let the next one go")
	}
	l.leave("a")
	if l.next() != a2 || l.next() != nil {
		t.Fatal("the next one does not go after the verdict")
	}
	l.leave("a")
	l.leave("b")
	if len(l.busy) != 0 || l.behind != 0 {
		t.Errorf("lanes are left: %v", l)
	}
}

func TestOneSenderThatIsStuckKeepsNobodyFromBeingParsed(t *testing.T) {
	l := newLanes()
	first := &message{sender: "a"}
	l.enter(first)
	if l.next() != first {
		t.Fatal("nothing is ready")
	}
	l.hold(first)
	for range 10 * enoughReady {
		l.enter(&message{sender: "a"})
	}
	if !l.hungry() {
		t.Error("who is stuck holds up the others")
	}
	l.again(first)
	if l.hungry() {
		t.Error("there is enough, and no end of parsing")
	}
	for len(l.ready)+l.behind > littleReady {
		if m := l.next(); m != nil {
			l.leave(m.sender)
		}
	}
	if !l.hungry() {
		t.Error("there is little, and nothing is parsed")
	}
}

func TestABufferIsNotMuchLargerThanWhatItHolds(t *testing.T) {
	var b buffers
	for size := 0; size < 2*mostKept; size += 777 {
		slice := b.get(size)
		if len(slice) != size || cap(slice) > size+sizeStep {
			t.Errorf("%d bytes: %d of %d", size, len(slice), cap(slice))
		}
		b.put(slice)
		if again := b.get(size); len(again) != size || cap(again) > size+sizeStep {
			t.Errorf("%d bytes again: %d of %d", size, len(again), cap(again))
		}
	}
	b.put(make([]byte, 100)) // of no class
	if got := b.get(1000); len(got) != 1000 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestTheLedgerBalancesWhateverHappens(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	l := newLedger(100<<10, 50)
	var pending []*message
	for range 20_000 {
		if r.IntN(2) == 0 {
			size := r.IntN(5 << 10)
			m := &message{held: heldFor(size), out: &output{}}
			wanted := r.IntN(20) > 0 // the connection asked before, and there was no room then
			if l.receive(size, wanted) {
				pending = append(pending, m)
			}
		} else if len(pending) > 0 {
			at := r.IntN(len(pending))
			m := pending[at]
			pending = append(pending[:at], pending[at+1:]...)
			l.hold(m, m.held+int64(r.IntN(100)))
			[]func(){
				func() { l.store(m) }, func() { l.duplicate(m) }, func() { l.reject(m, "schema") },
			}[r.IntN(3)]()
		}
		if s := l.stats; !s.Balanced() || s.Pending != uint64(len(pending)) || s.Pending > 50 {
			t.Fatalf("%d pending: %+v", len(pending), s)
		}
	}
	l.lose(7)
	l.dropPending()
	s := l.snapshot()
	if !s.Balanced() || s.Pending != 0 || s.Held != 0 || s.Dropped[contract.ReasonConnection] != 7 || s.Dropped[contract.ReasonBuffer] == 0 {
		t.Errorf("at the end: %+v", s)
	}
	s.Rejected["schema"]++
	if !l.stats.Balanced() {
		t.Error("a snapshot shares its counters")
	}
}

func TestEveryAnswerHasItsMeaning(t *testing.T) {
	apiError := func(code, errCode int) string {
		return fmt.Sprintf(`{"error":{"code":%d,"err_code":%d,"description":"x"},"stream":"S","seq":0}`, code, errCode)
	}
	for name, test := range map[string]struct {
		data   string
		status string
		stored bool
		retry  bool
		reason string
	}{
		"stored":                 {data: `{"stream":"S","seq":12}`, stored: true},
		"duplicate":              {data: `{"stream":"S","seq":12,"duplicate":true}`, stored: true},
		"no responders":          {status: "503", retry: true},
		"insufficient resources": {data: apiError(503, 10023), retry: true},
		"a limit is reached":     {data: apiError(503, 10077), retry: true},
		"too many requests":      {data: apiError(429, 10167), retry: true},
		"account is full":        {data: apiError(400, 10002), retry: true},
		"still in process":       {data: apiError(409, 10158), retry: true},
		"too large":              {data: apiError(400, 10054), reason: "too-large"},
		"sealed":                 {data: apiError(400, 10109), reason: "refused"},
		"wrong sequence":         {data: apiError(400, 10071), reason: "refused"},
		"no JSON":                {data: `thanks`, reason: "refused"},
		"empty":                  {data: ``, reason: "refused"},
		"names no stream":        {data: `{}`, reason: "refused"},
	} {
		a := readAnswer(test.status, []byte(test.data))
		if a.stored() != test.stored || a.retry() != test.retry {
			t.Errorf("%s: stored %v, retry %v", name, a.stored(), a.retry())
		}
		if test.reason != "" && (a.reason() != test.reason || a.detail() == "") {
			t.Errorf("%s: reason %s, detail %q", name, a.reason(), a.detail())
		}
	}
	for err, retry := range map[error]bool{errNoAnswer: true, inproc.ErrClosed: true, inproc.ErrTooLarge: false} {
		if a := (answer{err: err}); a.stored() || a.retry() != retry {
			t.Errorf("%v: retry %v", err, !retry)
		}
	}
	if a := (answer{err: inproc.ErrTooLarge}); a.reason() != "too-large" {
		t.Errorf("have %s", a.reason())
	}
}

func TestRetriesComeBackInTheOrderOfTheirTime(t *testing.T) {
	start := time.Unix(1000, 0)
	var r retries
	late, soon := &message{tries: 7}, &message{tries: 1}
	r.add(late, start)
	r.add(soon, start)
	if due := r.due(start); len(due) != 0 {
		t.Fatalf("due at once: %v", due)
	}
	if due := r.due(start.Add(firstBackoff)); len(due) != 1 || due[0] != soon {
		t.Errorf("have %v", due)
	}
	if due := r.due(start.Add(mostBackoff)); len(due) != 1 || due[0] != late {
		t.Errorf("have %v", due)
	}
	for tries := 1; tries < 100; tries++ {
		if d := backoff(tries); d < firstBackoff || d > mostBackoff {
			t.Errorf("backoff after %d tries: %s", tries, d)
		}
	}
}

func TestTheLogSaysEachThingOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	r := newReport(hclog.New(&hclog.LoggerOptions{Output: &out}), func(string) string { return "" })
	s := newLedger(1, 0).snapshot()
	lines := func() int { return strings.Count(out.String(), "\n") }
	now := time.Unix(1000, 0)
	r.say(s, "", now)
	if lines() != 0 {
		t.Fatalf("a healthy day: %s", &out)
	}
	for range 100 {
		s.Rejected["schema"]++
		now = now.Add(100 * time.Millisecond)
		r.say(s, errNoResponders.Error(), now)
	}
	if lines() != 2 {
		t.Errorf("have\n%s", &out)
	}
	r.say(s, "", now.Add(time.Minute))
	if lines() != 4 || !strings.Contains(out.String(), "reason=schema count=99") || !strings.Contains(out.String(), "takes messages again") {
		t.Errorf("have\n%s", &out)
	}
}

func TestAPublisherAnswersEachOnce(t *testing.T) {
	p := &publisher{waiting: map[uint64]func(answer){}}
	var answers []error
	now := time.Unix(1000, 0)
	for token := range uint64(3) {
		p.waiting[token] = func(a answer) { answers = append(answers, a.err) }
		p.oldest = append(p.oldest, deadline{token, now.Add(answerWait)})
	}
	p.settle(1, answer{})
	p.settle(1, answer{err: errNoAnswer}) // too late
	p.expire(now)
	if len(answers) != 1 || answers[0] != nil {
		t.Fatalf("have %v", answers)
	}
	p.expire(now.Add(answerWait))
	p.expire(now.Add(answerWait))
	if len(answers) != 3 || !errors.Is(answers[2], errNoAnswer) || len(p.waiting)+len(p.oldest) != 0 {
		t.Errorf("have %v", answers)
	}
}

func TestAnswersAreReadTheSameInBothWays(t *testing.T) {
	for text, plain := range map[string]bool{
		`{"stream":"CHORIA_REGISTRATION","seq":1}`:                     true,
		`{"stream":"S","seq":18446744073709551615}`:                    true,
		`{"stream":"S","seq":1,"duplicate":true}`:                      false,
		`{"stream":"S","domain":"hub","seq":1}`:                        false,
		`{"stream":"S", "seq":1}`:                                      false,
		`{"stream":"","seq":1}`:                                        false,
		`{"stream":"a\"b","seq":1}`:                                    false,
		`{"stream":"S","seq":-1}`:                                      false,
		`{"stream":"S","seq":}`:                                        false,
		`{"error":{"code":503,"err_code":10077},"stream":"S","seq":0}`: false,
		``: false,
	} {
		stream, sequence, ok := plainAnswer([]byte(text))
		if ok != plain {
			t.Errorf("%s: plain is %v", text, ok)
		}
		var want answer
		if err := json.Unmarshal([]byte(text), &want); ok && (err != nil || want.Stream != stream || want.Sequence != sequence || want.Duplicate || want.Error != nil) {
			t.Errorf("%s: have %s %d, want %+v %v", text, stream, sequence, want, err)
		}
	}
}
