package console

import (
	"net/url"
	"slices"
	"testing"
)

// FuzzParseNodeQuery looks for parameters that panic, that exceed a limit, or that are lost.
func FuzzParseNodeQuery(f *testing.F) {
	f.Add("state=up&where=os.name=Debian&identity=/^web/&limit=5")
	f.Add("class=apache&agent=puppet&collective=ams&sort=-since&after=web1&format=csv&text=a&site=ams")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := parseNodeQuery(values)
		if err != nil {
			return
		}
		if q.Limit < 0 || q.Limit > maxNodes || !slices.Contains(formats, q.format) ||
			q.format == "json" && (q.Limit == 0 || q.Limit > maxPageNodes) {
			t.Errorf("%q is parsed as %+v", raw, q)
		}
		if len(q.Where) != len(slices.DeleteFunc(values["where"], func(v string) bool { return v == "" })) {
			t.Errorf("%q: %d conditions on facts", raw, len(q.Where))
		}
	})
}
