package choria

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// stored returns a registration as an adapter stores it. Its times and its request id are those of the number.
func stored(tb testing.TB, body []byte, number int) []byte {
	tb.Helper()
	m := Message{Sender: "web1", ID: fmt.Sprintf("%032d", number), Time: time.Unix(int64(number), 0), Body: body}
	return m.AppendOutput(nil)
}

// digestOf returns the digest of a body in the format "choria".
func digestOf(tb testing.TB, body []byte, number int, volatile Volatile) [32]byte {
	tb.Helper()
	digest, err := Digest("", stored(tb, body, number), volatile)
	if err != nil {
		tb.Fatal(err)
	}
	return digest
}

func TestDigest_IsEqualWithoutARealChange(t *testing.T) {
	volatile := Volatile{"uptime", "memory", "system.load.now", "nested.only"}
	for name, test := range map[string]struct {
		before, after string
		equal         bool
	}{
		"nothing":               {`{"a":1}`, `{"a":1}`, true},
		"a fact":                {`{"a":1}`, `{"a":2}`, false},
		"an added fact":         {`{"a":1}`, `{"a":1,"b":null}`, false},
		"a removed fact":        {`{"a":1,"b":2}`, `{"a":1}`, false},
		"a volatile fact":       {`{"a":1,"uptime":1}`, `{"a":1,"uptime":2}`, true},
		"of another type":       {`{"a":1,"uptime":1}`, `{"a":1,"uptime":{"days":[1,2]}}`, true},
		"added volatile fact":   {`{"a":1}`, `{"a":1,"uptime":2}`, true},
		"below a volatile fact": {`{"memory":{"free":1}}`, `{"memory":{"free":2,"used":{}}}`, true},
		"like a volatile fact":  {`{"uptime_days":1}`, `{"uptime_days":2}`, false},
		"volatile elsewhere":    {`{"os":{"uptime":1}}`, `{"os":{"uptime":2}}`, false},
		"volatile, nested":      {`{"system":{"load":{"now":1,"max":2}}}`, `{"system":{"load":{"now":3,"max":2}}}`, true},
		"beside it":             {`{"system":{"load":{"now":1,"max":2}}}`, `{"system":{"load":{"now":1,"max":3}}}`, false},
		"around it":             {`{"system":{"load":{"now":1}}}`, `{"system":{"load":{"now":1}},"a":{}}`, false},
		"object became a value": {`{"system":{"load":{"max":2}}}`, `{"system":"x"}`, false},
		"only volatile facts":   {`{"nested":{"only":1}}`, `{}`, true},
		"an empty object":       {`{"nested":{}}`, `{}`, false},
		"in a list":             {`{"l":[{"uptime":1}]}`, `{"l":[{"uptime":2}]}`, false},
		"dots in a name":        {`{"system.load":{"now":1,"max":1}}`, `{"system.load":{"now":2,"max":1}}`, true},
		"a dot or a level":      {`{"system.x":1}`, `{"system":{"x":1}}`, false},
		"an escaped name":       {`{"\u0075ptime":1}`, `{"\u0075ptime":2}`, true},
		"value moved":           {`{"a":1,"b":2}`, `{"a":2,"b":1}`, false},
		"text that looks alike": {`{"a":"1;\"b\":2"}`, `{"a":"1","b":2}`, false},
	} {
		for kind, bodyOf := range map[string]func(string, int) ([]byte, error){
			ContentInventory: func(facts string, n int) ([]byte, error) {
				return InventoryBody([]byte(`{"classes":["base"],"facts":`+facts+`}`), n == 1)
			},
			ContentFile: func(facts string, n int) ([]byte, error) {
				return FileBody("/facts.json", time.Unix(int64(n), 0), n == 2, []byte(facts), n == 1)
			},
			ContentBody: func(facts string, _ int) ([]byte, error) { return []byte(facts), nil },
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				before, err := bodyOf(test.before, 1)
				after, otherErr := bodyOf(test.after, 2)
				if err := errors.Join(err, otherErr); err != nil {
					t.Fatal(err)
				}
				if equal := digestOf(t, before, 1, volatile) == digestOf(t, after, 2, volatile); equal != test.equal {
					t.Errorf("equal is %v", equal)
				}
			})
		}
	}
}

// inventoryWith returns the inventory of a capture, with other values. See the reference of Choria's servers: the
// status is written anew each time.
func inventoryWith(t *testing.T, change func(map[string]any)) []byte {
	t.Helper()
	m, err := parseRequest(read(t, "v1-mtls/registration-inventory.transport.json"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := Unpack(m.Body, MaxContent)
	if err != nil {
		t.Fatal(err)
	}
	var inventory map[string]any
	if err := json.Unmarshal(content.Payload, &inventory); err != nil {
		t.Fatal(err)
	}
	change(inventory)
	text, err := json.Marshal(inventory)
	if err != nil {
		t.Fatal(err)
	}
	body, err := InventoryBody(text, true)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestDigest_IgnoresWhatAServerWritesAnew(t *testing.T) {
	before := digestOf(t, inventoryWith(t, func(map[string]any) {}), 1, nil)
	status := func(key string, value any) func(map[string]any) {
		return func(inventory map[string]any) {
			s := inventory["status"].(map[string]any)
			if _, exists := s[key]; !exists {
				t.Errorf("the capture has no status.%s", key)
			}
			s[key] = value
		}
	}
	for name, test := range map[string]struct {
		change func(map[string]any)
		equal  bool
	}{
		"uptime":       {status("uptime", 1e6), true},
		"last message": {status("last_message", 1795412996), true},
		"statistics":   {status("stats", map[string]int{"total": 17, "valid": 4}), true},
		"certificate":  {status("certificate_expires", "2047-01-01T00:00:00Z"), false},
		"server":       {status("connected_server", "nats://127.0.0.2:4222"), false},
		"provisioning": {status("provisioning_mode", true), false},
		"classes":      {func(i map[string]any) { i["classes"] = []string{"role::db"} }, false},
		"agents":       {func(i map[string]any) { i["agents"] = i["agents"].([]any)[1:] }, false},
		"collectives":  {func(i map[string]any) { i["collectives"] = []string{"mcollective", "eu"} }, false},
		"version":      {func(i map[string]any) { i["build_info"] = map[string]string{"version": "0.30.0"} }, false},
		"machines":     {func(i map[string]any) { i["machines"] = []map[string]string{{"state": "MAINTAIN"}} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			if equal := digestOf(t, inventoryWith(t, test.change), 2, nil) == before; equal != test.equal {
				t.Errorf("equal is %v", equal)
			}
		})
	}
}

// TestDigest_Captures has the same file and inventories of two servers, from several protocols.
func TestDigest_Captures(t *testing.T) {
	byContent := map[[32]byte][]string{}
	for _, c := range captures(t, "registration") {
		m, err := parseRequest(read(t, c.File))
		if err != nil {
			t.Fatal(err)
		}
		digest, err := Digest("", m.AppendOutput(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		content, err := Unpack(m.Body, MaxContent)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Digest(content.Kind, content.Payload, nil)
		if err != nil || plain != digest {
			t.Errorf("%s: the format plain has another digest, %v", c.File, err)
		}
		byContent[digest] = append(byContent[digest], c.File)
	}
	files := 0
	for _, names := range byContent {
		if strings.Contains(names[0], "file") {
			files++
		}
	}
	if files != 1 {
		t.Errorf("%d digests of the same file: %v", files, byContent)
	}
}

func TestDigest_ReturnsWhyContentCannotBeRead(t *testing.T) {
	zeros, err := FileBody("/dev/zero", time.Unix(1, 0), false, make([]byte, MaxContent+1), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		kind string
		data []byte
		want error
	}{
		"not an output":          {"", []byte("x"), ErrMalformed},
		"too large":              {"", stored(t, zeros, 1), ErrTooLarge},
		"too large, plain":       {ContentFile, make([]byte, MaxContent+1), ErrTooLarge},
		"too deep":               {ContentFile, []byte(strings.Repeat("[", maxDepth+1)), ErrLimit},
		"an inventory is text":   {ContentInventory, []byte("facts"), ErrMalformed},
		"an inventory is empty":  {ContentInventory, nil, ErrMalformed},
		"an inventory is a list": {ContentInventory, []byte("[]"), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Digest(test.kind, test.data, nil); !errors.Is(err, test.want) {
				t.Errorf("have %v, want %v", err, test.want)
			}
		})
	}
	yaml, otherErr := Digest(ContentFile, []byte("---\na: 1\n"), nil)
	changed, err := Digest(ContentFile, []byte("---\na: 2\n"), nil)
	if err := errors.Join(err, otherErr); err != nil || yaml == changed {
		t.Errorf("files that are not JSON: %v", err)
	}
}

// FuzzDigest checks that equal input has equal digests, and that a volatile fact in it does not matter.
func FuzzDigest(f *testing.F) {
	f.Add(ContentFile, []byte(`{"a":{"b":1,"uptime":{"x":[1,2]}},"c":"\u0041"}`))
	f.Add(ContentInventory, []byte(`{"facts":{"a":1,"uptime":2},"status":{"uptime":2},"classes":["a"]}`))
	f.Add(ContentBody, []byte(`x`))
	f.Add("", stored(f, []byte(`{"a":1}`), 1))
	for _, c := range captures(f, "registration") {
		m, err := parseRequest(read(f, c.File))
		if err != nil {
			f.Fatal(err)
		}
		f.Add("", m.AppendOutput(nil))
	}
	volatile := Volatile{"uptime", "a.uptime"}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		before := string(data)
		first, err := Digest(kind, data, volatile)
		second, otherErr := Digest(kind, []byte(before), volatile)
		if first != second || (err == nil) != (otherErr == nil) || string(data) != before {
			t.Error("the same input has two digests, or was changed")
		}
		if _, unpackErr := UnpackStored(kind, data); unpackErr == nil && err != nil {
			t.Errorf("readable content has no digest: %v", err)
		}
		if kind == "" || kind == ContentInventory || err != nil || !json.Valid(data) || data[0] != '{' ||
			strings.TrimSpace(before[1:]) == "}" {
			return
		}
		added, err := Digest(kind, []byte(`{"uptime":[{}],`+before[1:]), volatile)
		if err != nil || added != first {
			t.Errorf("a volatile fact makes another digest: %v", err)
		}
	})
}

// BenchmarkDigest has the facts of an ordinary Linux server, 24 KiB.
func BenchmarkDigest(b *testing.B) {
	text, data := typicalFacts(b)
	volatile := Volatile{
		"uptime", "uptime_seconds", "uptime_hours", "uptime_days", "system_uptime", "load_averages", "memory", "memoryfree",
		"memoryfree_mb", "swapfree", "swapfree_mb", "mountpoints", "last_run",
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var d Digester
	for b.Loop() {
		if _, err := d.Digest("", data, volatile); err != nil {
			b.Fatal(err)
		}
	}
}

// typicalFacts returns facts like those of an ordinary Linux server, and a stored registration with them.
func typicalFacts(b *testing.B) (facts, registration []byte) {
	b.Helper()
	all := map[string]any{"uptime": map[string]int{"seconds": 1}, "memory": map[string]int{"free": 2}}
	for n := range 100 {
		all[fmt.Sprintf("fact_%d", n)] = map[string]any{"value": fmt.Sprintf("%x", n*n*n*7919), "size": n, "on": true}
	}
	packages := map[string]any{}
	for n := range 250 {
		packages[fmt.Sprintf("package-%d", n)] = map[string]string{
			"state": "installed", "version": fmt.Sprintf("%d.%d-%d.el9", n%9, n*31%30, n%7), "arch": "x86_64",
		}
	}
	all["packages"] = packages
	text, err := json.Marshal(all)
	if err != nil {
		b.Fatal(err)
	}
	body, err := FileBody("/facts.json", time.Unix(1, 0), false, text, true)
	if err != nil {
		b.Fatal(err)
	}
	return text, stored(b, body, 1)
}
