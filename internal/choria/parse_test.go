package choria

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParser_DecodesCaptures(t *testing.T) {
	for _, c := range captures(t, "registration", "transport") {
		t.Run(c.File, func(t *testing.T) {
			m, err := c.parse(read(t, c.File))
			if err != nil {
				t.Fatal(err)
			}
			want := c.Decoded
			protocol := map[string]Protocol{transportV1: V1, transportV2: V2}[want.Protocol]
			sender, _ := want.TransportHeaders["mc_sender"].(string)
			if protocol == V2 {
				sender, _ = want.TransportHeaders["sender"].(string)
			}
			have := []any{m.Protocol, m.ID, m.Sender, m.Caller, m.Collective, m.Agent, m.TransportSender, sha256Hex(m.Body)}
			expected := []any{
				protocol, want.RequestID, want.Sender, want.Caller, want.Collective, want.Agent, sender, want.DataSHA256,
			}
			for i := range have {
				if have[i] != expected[i] {
					t.Errorf("have %v, want %v", have[i], expected[i])
				}
			}
			if !m.Time.Equal(want.Time) {
				t.Errorf("time %s, want %s", m.Time, want.Time)
			}
		})
	}
}

func TestParser_RejectsChangedMessages(t *testing.T) {
	both := []string{fileV1, fileV2}
	all := []string{fileV1, fileV2, fileReplyV1, fileReplyV2}
	replies := []string{fileReplyV1, fileReplyV2}
	// key returns the name of a key in the protocol of the file.
	key := func(file, v1, v2 string) string {
		if strings.HasPrefix(file, "v1") {
			return v1
		}
		return v2
	}
	type change = func(l *layers, file string)
	inTransport := func(key string, value any) change { return func(l *layers, _ string) { l.transport[key] = value } }
	inSecure := func(key string, value any) change { return func(l *layers, _ string) { l.secure[key] = value } }
	inMessage := func(key string, value any) change { return func(l *layers, _ string) { l.message[key] = value } }
	removeEnvelope := func(l *layers, _ string) { delete(l.message, "envelope") }
	set := func(v1, v2 string, value any) change {
		return func(l *layers, file string) { l.envelope()[key(file, v1, v2)] = value }
	}
	without := func(v1, v2 string) change {
		return func(l *layers, file string) { delete(l.envelope(), key(file, v1, v2)) }
	}
	for name, test := range map[string]struct {
		files []string
		edit  change
		want  error
	}{
		"headers null":           {all, inTransport("headers", nil), ErrSchema},
		"headers a list":         {all, inTransport("headers", []int{1}), ErrSchema},
		"unknown transport":      {all, inTransport("protocol", "choria:transport:3"), ErrMalformed},
		"secure of the other":    {all, inSecure("protocol", requestV1), ErrMalformed},
		"inner of the other":     {all, inMessage("protocol", secureReplyV1), ErrMalformed},
		"no signature":           {both, inSecure("signature", ""), ErrSchema},
		"signature a number":     {both, inSecure("signature", 3), ErrSchema},
		"no certificate":         {both[:1], inSecure("pubcert", nil), ErrSchema},
		"no token":               {both[1:], func(l *layers, _ string) { delete(l.secure, "caller") }, ErrSchema},
		"envelope null":          {[]string{fileV1, fileReplyV1}, inMessage("envelope", nil), ErrSchema},
		"no envelope":            {[]string{fileV1, fileReplyV1}, removeEnvelope, ErrSchema},
		"body null":              {both, inMessage("message", nil), ErrSchema},
		"body empty":             {both, inMessage("message", ""), ErrSchema},
		"body an object":         {all, inMessage("message", map[string]int{"a": 1}), ErrSchema},
		"body not base64":        {[]string{fileV2, fileReplyV2}, inMessage("message", "a==="), ErrMalformed},
		"body cut base64":        {[]string{fileV2}, inMessage("message", "YWJ"), ErrMalformed},
		"body stray bits":        {[]string{fileV2}, inMessage("message", "YWJ="), ErrMalformed},
		"body folded base64":     {[]string{fileV2}, inMessage("message", "YW\nJj"), ErrMalformed},
		"body not UTF-8":         {[]string{fileV2, fileReplyV2}, inMessage("message", "/w=="), ErrNotUTF8},
		"no sender":              {all, without("senderid", "sender"), nil},
		"sender empty":           {all, set("senderid", "sender", ""), ErrBadSender},
		"sender with blank":      {all, set("senderid", "sender", "a b"), ErrBadSender},
		"sender a wildcard":      {all, set("senderid", "sender", "web.>"), ErrBadSender},
		"sender a star":          {all, set("senderid", "sender", "*"), ErrBadSender},
		"sender ends in dot":     {all, set("senderid", "sender", "web."), ErrBadSender},
		"sender double dot":      {all, set("senderid", "sender", "web..example"), ErrBadSender},
		"sender begins with dot": {all, set("senderid", "sender", ".web"), ErrBadSender},
		"sender not ASCII":       {all, set("senderid", "sender", "größe"), ErrBadSender},
		"sender too long":        {all, set("senderid", "sender", strings.Repeat("a", 256)), ErrBadSender},
		"sender a line feed":     {all, set("senderid", "sender", "a\nb"), ErrBadSender},
		"id empty":               {both, set("requestid", "id", ""), ErrBadID},
		"id too long":            {both, set("requestid", "id", strings.Repeat("a", 65)), ErrBadID},
		"id with slash":          {both, set("requestid", "id", strings.Repeat("a", 31)+"/"), ErrBadID},
		"id with blank":          {both, set("requestid", "id", strings.Repeat("a", 31)+" "), ErrBadID},
		"id not ASCII":           {both, set("requestid", "id", strings.Repeat("ä", 16)), ErrBadID},
		"id a number":            {both, set("requestid", "id", 12), ErrSchema},
		"reply id empty":         {replies, set("requestid", "request", ""), ErrBadID},
		"id of 31":               {both[:1], set("requestid", "id", strings.Repeat("a", 31)), ErrSchema},
		"ttl too short":          {both[:1], set("ttl", "ttl", 29), ErrSchema},
		"ttl zero":               {both, set("ttl", "ttl", 0), ErrSchema},
		"ttl huge":               {both, set("ttl", "ttl", json.Number("1e400")), ErrSchema},
		"time negative":          {all, set("time", "time", -1), ErrSchema},
		"time a fraction":        {all, set("time", "time", 1.5), ErrSchema},
		"time huge":              {all, set("time", "time", json.Number("99999999999999999999999")), ErrSchema},
		"time of year 10000":     {[]string{fileV1, fileReplyV1}, set("time", "time", maxSeconds+1), ErrSchema},
		"time zero":              {both[1:], set("time", "time", 0), ErrSchema},
		"no time":                {both, without("time", "time"), ErrSchema},
		"no agent":               {both, without("agent", "agent"), ErrSchema},
		"no collective":          {both, without("collective", "collective"), ErrSchema},
		"no caller":              {both, without("callerid", "caller"), ErrSchema},
		"no filter":              {both[:1], without("filter", "filter"), ErrSchema},
		"filter null":            {both[:1], set("filter", "filter", nil), ErrSchema},
		"filter a text":          {both, set("filter", "filter", "x"), ErrSchema},
		"filter incomplete":      {both[:1], set("filter", "filter", map[string]any{"fact": []any{}}), ErrSchema},
	} {
		for _, file := range test.files {
			t.Run(name+"/"+file, func(t *testing.T) {
				l := openLayers(t, read(t, file))
				test.edit(l, file)
				m, err := parserOf(file)(l.encode(t, nil))
				want := test.want
				if want == nil { // a missing sender: only in requests of protocol 1 a missing key is an error
					want = ErrBadSender
					if file == fileV1 {
						want = ErrSchema
					}
				}
				if m != nil || !errors.Is(err, want) || Reason(err) != want.Error() {
					t.Errorf("have %v, want %v", err, want)
				}
			})
		}
	}
}

func TestParser_AcceptsUnusualMessages(t *testing.T) {
	for name, test := range map[string]struct {
		files []string
		edit  func(l *layers)
	}{
		"no headers": {[]string{fileV1, fileV2}, func(l *layers) { delete(l.transport, "headers") }},
		"unknown keys": {[]string{fileV1, fileV2}, func(l *layers) {
			l.transport["x"], l.secure["y"], l.message["z"] = 1, nil, []int{}
		}},
		"time zero in v1":   {[]string{fileV1}, func(l *layers) { l.envelope()["time"] = 0 }},
		"empty caller":      {[]string{fileV1}, func(l *layers) { l.envelope()["callerid"] = "" }},
		"v2 without filter": {[]string{fileV2}, func(l *layers) { delete(l.message, "filter") }},
		"longest sender":    {[]string{fileV1}, func(l *layers) { l.envelope()["senderid"] = strings.Repeat("a", 255) }},
		"odd sender":        {[]string{fileV1}, func(l *layers) { l.envelope()["senderid"] = "a_B:1@x=y+z-w.example" }},
		"keys in capitals": {[]string{fileV2}, func(l *layers) {
			l.message["SENDER"] = l.message["sender"]
			delete(l.message, "sender")
		}},
	} {
		for _, file := range test.files {
			t.Run(name+"/"+file, func(t *testing.T) {
				l := openLayers(t, read(t, file))
				test.edit(l)
				if _, err := parseRequest(l.encode(t, nil)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestParser_RejectsBrokenBytes(t *testing.T) {
	wrap := func(secure string) string {
		return fmt.Sprintf(`{"protocol":%q,"data":%q}`, transportV1, base64.StdEncoding.EncodeToString([]byte(secure)))
	}
	secure := func(message string) string {
		return fmt.Sprintf(`{"protocol":%q,"message":%q,"signature":"x","pubcert":"x"}`, secureRequestV1, message)
	}
	good := string(read(t, fileV1))
	deep := strings.Repeat("[", 200_000)
	for name, test := range map[string]struct {
		raw  string
		want error
	}{
		"nothing":              {"", ErrMalformed},
		"blank":                {" ", ErrMalformed},
		"null":                 {"null", ErrMalformed},
		"a number":             {"12", ErrSchema},
		"a list":               {"[]", ErrSchema},
		"cut off":              {good[:len(good)/2], ErrMalformed},
		"two messages":         {good + good, ErrMalformed},
		"not UTF-8":            {strings.Replace(good, "dev.null", "dev\xff", 1), ErrNotUTF8},
		"half a surrogate":     {strings.Replace(good, "dev.null", `dev\ud83d`, 1), ErrNotUTF8},
		"the other half":       {strings.Replace(good, "dev.null", `\udc00`, 1), ErrNotUTF8},
		"halves turned around": {strings.Replace(good, "dev.null", `\ude00\ud83d`, 1), ErrNotUTF8},
		"deep":                 {deep, ErrLimit},
		"deep in a header":     {strings.Replace(good, `"dev.null"`, deep, 1), ErrLimit},
		"data null":            {fmt.Sprintf(`{"protocol":%q,"data":null}`, transportV1), ErrMalformed},
		"data of null":         {wrap("null"), ErrMalformed},
		"data of nothing":      {wrap(""), ErrMalformed},
		"data of text":         {wrap(`"x"`), ErrSchema},
		"data not UTF-8":       {wrap("{\"protocol\":\"\xff\"}"), ErrNotUTF8},
		"data not base64":      {fmt.Sprintf(`{"protocol":%q,"data":"***"}`, transportV1), ErrMalformed},
		"data base64url":       {fmt.Sprintf(`{"protocol":%q,"data":"-_-_"}`, transportV1), ErrMalformed},
		"data a number":        {fmt.Sprintf(`{"protocol":%q,"data":7}`, transportV1), ErrSchema},
		"message null":         {wrap(secure("null")), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			for _, parse := range []func([]byte) (*Message, error){parseRequest, parseReply} {
				m, err := parse([]byte(test.raw))
				if m != nil || !errors.Is(err, test.want) || Reason(err) != test.want.Error() {
					t.Errorf("have %v, want %v", err, test.want)
				}
			}
		})
	}
	if _, err := parseRequest([]byte(wrap(secure(deep)))); !errors.Is(err, ErrLimit) {
		t.Errorf("a deep message: %v", err)
	}
}

func TestParser_RejectsHostileCaptures(t *testing.T) {
	for _, c := range captures(t, "hostile") {
		t.Run(c.File, func(t *testing.T) {
			if _, err := parseRequest(read(t, c.File)); !errors.Is(err, ErrSchema) {
				t.Errorf("have %v, want %v", err, ErrSchema)
			}
		})
	}
}

func TestParser_ReleasesLargeBuffers(t *testing.T) {
	var p Parser
	r := NewRegistration(strings.Repeat("0", 32), "web1", "mcollective", time.Unix(1, 0), make([]byte, maxKept))
	raw, err := r.EncodeV1(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{raw, read(t, fileV1)} {
		if _, err := p.Request(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, buffer := range [][]byte{p.secure, p.signed, p.certificate, p.body} {
		if cap(buffer) > maxKept {
			t.Errorf("the parser keeps a buffer of %d bytes", cap(buffer))
		}
	}
}

func TestParser_AllocatesLittle(t *testing.T) {
	for _, file := range []string{fileV1, fileV2} {
		t.Run(file, func(t *testing.T) {
			raw := read(t, file)
			var p Parser
			if n := testing.AllocsPerRun(100, func() { _, _ = p.Request(raw) }); n > 8 {
				t.Errorf("%.0f allocations, want at most 8", n)
			}
		})
	}
}
