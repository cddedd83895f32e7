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

// layers takes a capture apart into its three layers, so that one can be changed and the
// whole put together again as a real sender would have.
type layers struct {
	transport, secure, message map[string]any
	carrier                    string // the secure layer's key that carries the message
}

func open(tb testing.TB, raw []byte) *layers {
	tb.Helper()
	l := &layers{}
	decode := func(text []byte) map[string]any {
		var into map[string]any
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&into); err != nil {
			tb.Fatal(err)
		}
		return into
	}
	l.transport = decode(raw)
	secure, err := base64.StdEncoding.DecodeString(l.transport["data"].(string))
	if err != nil {
		tb.Fatal(err)
	}
	l.secure = decode(secure)
	for _, key := range []string{"message", "request", "reply"} {
		if text, ok := l.secure[key].(string); ok {
			l.carrier = key
			message := []byte(text)
			if key != "message" {
				if message, err = base64.StdEncoding.DecodeString(text); err != nil {
					tb.Fatal(err)
				}
			}
			l.message = decode(message)
		}
	}
	return l
}

// close puts the layers together; edit may change the text of the innermost one last.
func (l *layers) close(tb testing.TB, edit func(message string) string) []byte {
	tb.Helper()
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		return string(text)
	}
	message := encode(l.message)
	if edit != nil {
		message = edit(message)
	}
	text := encode(l.secure[l.carrier])
	carried := encode(message)
	if l.carrier != "message" {
		carried = encode(base64.StdEncoding.EncodeToString([]byte(message)))
	}
	secure := strings.Replace(encode(l.secure), text, carried, 1)
	l.transport["data"] = base64.StdEncoding.EncodeToString([]byte(secure))
	return []byte(encode(l.transport))
}

func (l *layers) envelope() map[string]any {
	if e, ok := l.message["envelope"].(map[string]any); ok {
		return e
	}
	return l.message
}

const (
	fileV1      = "v1-mtls/registration-file.transport.json"
	fileV2      = "v2-issuer/registration-file.transport.json"
	replyV1File = "v1-mtls/rpc-direct-reply.transport.json"
	replyV2File = "v2-issuer/rpc-direct-reply.transport.json"
)

func parserOf(file string) func([]byte) (*Message, error) {
	if strings.Contains(file, "reply") {
		return parseReply
	}
	return parseRequest
}

func TestChangedMessagesAreRefusedWithTheirReason(t *testing.T) {
	both := []string{fileV1, fileV2}
	all := []string{fileV1, fileV2, replyV1File, replyV2File}
	replies := []string{replyV1File, replyV2File}
	// The keys that the protocols name differently.
	key := func(file, v1, v2 string) string {
		if strings.HasPrefix(file, "v1") {
			return v1
		}
		return v2
	}
	set := func(v1, v2 string, value any) func(*layers, string) {
		return func(l *layers, file string) { l.envelope()[key(file, v1, v2)] = value }
	}
	for name, test := range map[string]struct {
		files []string
		edit  func(l *layers, file string)
		want  error
	}{
		"headers null":           {all, func(l *layers, _ string) { l.transport["headers"] = nil }, ErrSchema},
		"headers a list":         {all, func(l *layers, _ string) { l.transport["headers"] = []int{1} }, ErrSchema},
		"unknown transport":      {all, func(l *layers, _ string) { l.transport["protocol"] = "choria:transport:3" }, ErrMalformed},
		"secure of the other":    {all, func(l *layers, _ string) { l.secure["protocol"] = requestV1 }, ErrMalformed},
		"inner of the other":     {all, func(l *layers, _ string) { l.message["protocol"] = secureReplyV1 }, ErrMalformed},
		"no signature":           {both, func(l *layers, _ string) { l.secure["signature"] = "" }, ErrSchema},
		"signature a number":     {both, func(l *layers, _ string) { l.secure["signature"] = 3 }, ErrSchema},
		"no certificate":         {both[:1], func(l *layers, _ string) { l.secure["pubcert"] = nil }, ErrSchema},
		"no token":               {both[1:], func(l *layers, _ string) { delete(l.secure, "caller") }, ErrSchema},
		"envelope null":          {[]string{fileV1, replyV1File}, func(l *layers, _ string) { l.message["envelope"] = nil }, ErrSchema},
		"no envelope":            {[]string{fileV1, replyV1File}, func(l *layers, _ string) { delete(l.message, "envelope") }, ErrSchema},
		"body null":              {both, func(l *layers, _ string) { l.message["message"] = nil }, ErrSchema},
		"body empty":             {both, func(l *layers, _ string) { l.message["message"] = "" }, ErrSchema},
		"body an object":         {all, func(l *layers, _ string) { l.message["message"] = map[string]int{"a": 1} }, ErrSchema},
		"body not base64":        {[]string{fileV2, replyV2File}, func(l *layers, _ string) { l.message["message"] = "a===" }, ErrMalformed},
		"body cut base64":        {[]string{fileV2}, func(l *layers, _ string) { l.message["message"] = "YWJ" }, ErrMalformed},
		"body stray bits":        {[]string{fileV2}, func(l *layers, _ string) { l.message["message"] = "YWJ=" }, ErrMalformed},
		"body folded base64":     {[]string{fileV2}, func(l *layers, _ string) { l.message["message"] = "YW\nJj" }, ErrMalformed},
		"body not UTF-8":         {[]string{fileV2, replyV2File}, func(l *layers, _ string) { l.message["message"] = "/w==" }, ErrNotUTF8},
		"no sender":              {all, func(l *layers, file string) { delete(l.envelope(), key(file, "senderid", "sender")) }, nil},
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
		"time of year 10000":     {[]string{fileV1, replyV1File}, set("time", "time", maxSeconds+1), ErrSchema},
		"time zero":              {both[1:], set("time", "time", 0), ErrSchema},
		"no time":                {both, func(l *layers, _ string) { delete(l.envelope(), "time") }, ErrSchema},
		"no agent":               {both, func(l *layers, _ string) { delete(l.envelope(), "agent") }, ErrSchema},
		"no collective":          {both, func(l *layers, _ string) { delete(l.envelope(), "collective") }, ErrSchema},
		"no caller":              {both, func(l *layers, file string) { delete(l.envelope(), key(file, "callerid", "caller")) }, ErrSchema},
		"no filter":              {both[:1], func(l *layers, _ string) { delete(l.envelope(), "filter") }, ErrSchema},
		"filter null":            {both[:1], set("filter", "filter", nil), ErrSchema},
		"filter a text":          {both, set("filter", "filter", "x"), ErrSchema},
		"filter incomplete":      {both[:1], set("filter", "filter", map[string]any{"fact": []any{}}), ErrSchema},
	} {
		for _, file := range test.files {
			l := open(t, read(t, file))
			test.edit(l, file)
			m, err := parserOf(file)(l.close(t, nil))
			want := test.want
			if want == nil { // a missing sender: v1 requests say so in their schema, the others by its emptiness
				want = ErrBadSender
				if file == fileV1 {
					want = ErrSchema
				}
			}
			if m != nil || !errors.Is(err, want) || Reason(err) != want.Error() {
				t.Errorf("%s: %s: have %v, want %v", name, file, err, want)
			}
		}
	}
}

func TestHarmlessOddityIsRead(t *testing.T) {
	for name, test := range map[string]struct {
		files []string
		edit  func(l *layers)
	}{
		"no headers":        {[]string{fileV1, fileV2}, func(l *layers) { delete(l.transport, "headers") }},
		"unknown keys":      {[]string{fileV1, fileV2}, func(l *layers) { l.transport["x"], l.secure["y"], l.message["z"] = 1, nil, []int{} }},
		"time zero in v1":   {[]string{fileV1}, func(l *layers) { l.envelope()["time"] = 0 }},
		"empty caller":      {[]string{fileV1}, func(l *layers) { l.envelope()["callerid"] = "" }},
		"v2 without filter": {[]string{fileV2}, func(l *layers) { delete(l.message, "filter") }},
		"longest sender":    {[]string{fileV1}, func(l *layers) { l.envelope()["senderid"] = strings.Repeat("a", 255) }},
		"odd sender":        {[]string{fileV1}, func(l *layers) { l.envelope()["senderid"] = "a_B:1@x=y+z-w.example" }},
		"keys in capitals":  {[]string{fileV2}, func(l *layers) { l.message["SENDER"] = l.message["sender"]; delete(l.message, "sender") }},
	} {
		for _, file := range test.files {
			l := open(t, read(t, file))
			test.edit(l)
			if _, err := parseRequest(l.close(t, nil)); err != nil {
				t.Errorf("%s: %s: %v", name, file, err)
			}
		}
	}
}

func TestBrokenBytesAreRefusedWithTheirReason(t *testing.T) {
	wrap := func(secure string) string {
		return fmt.Sprintf(`{"protocol":%q,"data":%q}`, transportV1, base64.StdEncoding.EncodeToString([]byte(secure)))
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
		"deep":                 {deep, ErrMalformed},
		"deep in a header":     {strings.Replace(good, `"dev.null"`, deep, 1), ErrMalformed},
		"data null":            {fmt.Sprintf(`{"protocol":%q,"data":null}`, transportV1), ErrMalformed},
		"data of null":         {wrap("null"), ErrMalformed},
		"data of nothing":      {wrap(""), ErrMalformed},
		"data of text":         {wrap(`"x"`), ErrSchema},
		"data not UTF-8":       {wrap("{\"protocol\":\"\xff\"}"), ErrNotUTF8},
		"data not base64":      {fmt.Sprintf(`{"protocol":%q,"data":"***"}`, transportV1), ErrMalformed},
		"data base64url":       {fmt.Sprintf(`{"protocol":%q,"data":"-_-_"}`, transportV1), ErrMalformed},
		"data a number":        {fmt.Sprintf(`{"protocol":%q,"data":7}`, transportV1), ErrSchema},
		"message null":         {wrap(fmt.Sprintf(`{"protocol":%q,"message":"null","signature":"x","pubcert":"x"}`, secureRequestV1)), ErrMalformed},
		"message deep":         {wrap(fmt.Sprintf(`{"protocol":%q,"message":%q,"signature":"x","pubcert":"x"}`, secureRequestV1, deep)), ErrMalformed},
	} {
		for _, parse := range []func([]byte) (*Message, error){parseRequest, parseReply} {
			m, err := parse([]byte(test.raw))
			want := test.want
			if m != nil || !errors.Is(err, want) || Reason(err) != want.Error() {
				t.Errorf("%s: have %v, want %v", name, err, want)
			}
		}
	}
}

func TestHostileCapturesAreRefused(t *testing.T) {
	for _, c := range captures(t, "hostile") {
		if _, err := parseRequest(read(t, c.File)); !errors.Is(err, ErrSchema) {
			t.Errorf("%s: %v", c.File, err)
		}
	}
}

func TestPairedSurrogatesAreText(t *testing.T) {
	for text, lone := range map[string]bool{
		`"\ud83d\ude00"`: false, `"\\ud83d"`: false, `"\ud83d\\ude00"`: true, `"\u00e4\ud83d"`: true, `"\uD83D\uDE00"`: false, `\`: false, `\u`: false,
	} {
		if hasLoneSurrogate([]byte(text)) != lone {
			t.Errorf("%s: lone is %v", text, !lone)
		}
	}
}

func TestUnpackRefusesWhatGrowsOrIsBroken(t *testing.T) {
	zeros := make([]byte, 64<<20)
	bomb, err := FileBody("/dev/zero", time.Unix(1, 0), false, zeros, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(bomb) > 128<<10 {
		t.Fatalf("the bomb is %d bytes and no bomb", len(bomb))
	}
	large, err := InventoryBody([]byte(`{"facts":"`+strings.Repeat("x", 2000)+`"}`), false)
	if err != nil {
		t.Fatal(err)
	}
	body := func(rest string) []byte { return []byte(fmt.Sprintf(`{"protocol":%q,%s}`, fileContent, rest)) }
	good := gzipBase64([]byte("hello"))
	for name, test := range map[string]struct {
		body []byte
		want error
	}{
		"grows without end":   {bomb, ErrTooLarge},
		"large as it is":      {large, ErrTooLarge},
		"large file":          {body(`"content":"` + base64.StdEncoding.EncodeToString(make([]byte, 1001)) + `"`), ErrTooLarge},
		"no gzip":             {body(`"zcontent":"aGVsbG8="`), ErrMalformed},
		"gzip cut off":        {body(`"zcontent":"` + good[:len(good)-8] + `"`), ErrMalformed},
		"not base64":          {body(`"zcontent":"!"`), ErrMalformed},
		"content an object":   {body(`"content":{}`), ErrSchema},
		"content not base64":  {body(`"content":"!"`), ErrMalformed},
		"mtime before 1970":   {body(`"mtime":-5,"content":""`), ErrSchema},
		"mtime in year 10000": {body(`"mtime":253402300800,"content":""`), ErrSchema},
		"inventory a text":    {[]byte(fmt.Sprintf(`{"protocol":%q,"content":"x"}`, inventoryContent)), ErrSchema},
		"inventory missing":   {[]byte(fmt.Sprintf(`{"protocol":%q}`, inventoryContent)), ErrSchema},
	} {
		if _, err := Unpack(test.body, 1000); !errors.Is(err, test.want) {
			t.Errorf("%s: have %v, want %v", name, err, test.want)
		}
	}
	for _, text := range []string{"", "ping", "{}", `{"protocol":"other"}`, "null"} {
		if c, err := Unpack([]byte(text), 1000); err != nil || c.Kind != ContentBody || string(c.Payload) != text {
			t.Errorf("%q: %v %v", text, c, err)
		}
	}
}
