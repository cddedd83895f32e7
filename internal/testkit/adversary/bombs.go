package adversary

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// Bomb is a registration that is small, but costs a careless reader much memory or time.
type Bomb struct {
	Name string
	Body []byte // of the registration
}

// mebi is the most that the fleet view unpacks, in bytes.
const mebi = 1 << 20

// Bombs returns the bombs, each as a file and as an inventory where that makes a difference.
func Bombs() []Bomb {
	var bombs []Bomb
	for name, content := range Contents() {
		bombs = append(bombs,
			Bomb{name + " as file", fileBody(content)},
			Bomb{name + " as inventory", body("inventory", zipped(content))})
	}
	zeros := make([]byte, 32<<20)
	bombs = append(bombs,
		Bomb{"zeros", fileBody(zeros)},
		Bomb{"zlib", body("file", deflated(zeros))},
		Bomb{"zip in a zip", fileBody(zipped(zeros))})
	return bombs
}

// Contents returns what unpacks from the bombs that are JSON.
func Contents() map[string][]byte {
	many := func(element string, bytes int) string {
		return strings.TrimSuffix(strings.Repeat(element+",", bytes/(len(element)+1)), ",")
	}
	facts := func(text string) []byte {
		return []byte(`{"agents":[],"classes":[],"facts":` + text + `,"os":` + text + `}`)
	}
	deep := func(levels int) string {
		return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
	}
	return map[string][]byte{
		"open arrays":      []byte(strings.Repeat("[", 4<<20)),
		"open arrays, 1Mi": []byte(strings.Repeat("[", mebi)),
		"open objects":     []byte(strings.Repeat(`{"a":`, mebi/5)),
		"300 levels":       facts(deep(300)),
		"150 levels":       facts(deep(150)),
		"100000 levels":    facts(deep(100_000)),
		"long keys":        facts(longKeys(mebi * 9 / 20)),
		"many keys":        facts(manyKeys(mebi * 9 / 20)),
		"the same key":     facts("{" + many(`"a":1`, mebi*9/20) + "}"),
		"empty arrays":     facts("[" + many("[]", mebi*9/20) + "]"),
		"empty objects":    facts(`{"a":[` + many("{}", mebi*9/20) + `]}`),
		"many classes":     []byte(`{"classes":[` + many(`""`, mebi*8/10) + `],"agents":[],"facts":{}}`),
		"many agents":      []byte(`{"agents":[` + many(`{"name":"a"}`, mebi*8/10) + `],"classes":[],"facts":{}}`),
		"many collectives": []byte(`{"collectives":[` + many(`"c"`, mebi*8/10) + `],"agents":[],"classes":[],"facts":{}}`),
		"a long class":     []byte(`{"classes":["` + strings.Repeat("c", mebi*8/10) + `"],"agents":[],"facts":{}}`),
		"a long value":     facts(`{"name":"` + strings.Repeat("v", mebi*4/10) + `"}`),
		"a huge number":    facts(`{"name":` + strings.Repeat("9", mebi*4/10) + `}`),
		"a huge exponent":  facts(`{"name":[` + many("1e999999999", mebi*4/10) + `]}`),
		"escapes": facts(`{"name":"` + strings.Repeat(`\u0000`, mebi/16) + `","` +
			strings.Repeat(`\"`, mebi/8) + `":1}`),
		"not UTF-8": facts(`{"name":"` + strings.Repeat("\xff", mebi*4/10) + `"}`),
	}
}

// longKeys returns an object with paths that are far longer than its text: a chain of long names with
// members at each of its levels.
func longKeys(bytes int) string {
	var text, end strings.Builder
	for level := 0; text.Len() < bytes-12_000; level++ {
		for n := range 500 {
			fmt.Fprintf(&text, `%s"m%d":1`, map[bool]string{true: "{", false: ","}[n == 0], n)
		}
		fmt.Fprintf(&text, `,"%s%d":`, strings.Repeat("k", 5000), level)
		end.WriteString("}")
	}
	return text.String() + "1" + end.String()
}

// manyKeys returns an object with as many different keys as fit.
func manyKeys(bytes int) string {
	var text strings.Builder
	for n := 0; text.Len() < bytes-12; n++ {
		fmt.Fprintf(&text, `%s"%x":%d`, map[bool]string{true: "{", false: ","}[n == 0], n, n%10)
	}
	return text.String() + "}"
}

// fileBody returns the registration of a file with that content.
func fileBody(content []byte) []byte {
	encoded, _ := choria.FileBody("/facts.json", time.Unix(1, 0), true, content, true) // no value that JSON lacks
	return encoded
}

// body returns a registration of a kind with compressed content, whatever the content is.
func body(kind string, compressed []byte) []byte {
	encoded, _ := json.Marshal(map[string]string{
		"protocol": "choria:registration:" + kind + "content:1",
		"zcontent": base64.StdEncoding.EncodeToString(compressed),
	})
	return encoded
}

func zipped(content []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(content)
	_ = w.Close()
	return b.Bytes()
}

func deflated(content []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(content)
	_ = w.Close()
	return b.Bytes()
}
