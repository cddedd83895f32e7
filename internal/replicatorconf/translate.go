package replicatorconf

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/translate"
)

// translation is the state of one Translate.
type translation struct {
	declared map[string]bool
	out      translate.Output
	remarks  []translate.Remark

	site      string
	tls       *mapping // of the whole file
	choria    *mapping
	hubs      []*hub
	sourceURL string // of the first stream
}

// Translate returns the text of an appliance.toml for the appliance that has the streams, and remarks, those of the
// highest class first. declared are the streams that an appliance has by default.
func (f *File) Translate(declared []string) (text string, remarks []translate.Remark) {
	t := &translation{declared: map[string]bool{}}
	for _, name := range declared {
		t.declared[name] = true
	}
	top := newMapping("", f.root)
	t.tls, t.choria = top.sub("tls"), top.sub("choria")
	t.general(top)
	t.streams(top)
	for _, h := range t.hubs {
		t.writeHub(h)
	}
	t.remarkOnUnused(top, generalReasons, "")
	t.remarkOnUnused(t.choria, generalReasons, "choria.")
	slices.SortStableFunc(t.remarks, func(a, b translate.Remark) int {
		return cmp.Or(cmp.Compare(b.Class, a.Class), strings.Compare(a.Key, b.Key))
	})
	t.remarks = slices.Compact(t.remarks)
	head := fmt.Sprintf("# Made by \"muster import --replicator\" from %s\n"+
		"# For the appliance that has the streams, the edge: copy the lines into its appliance.toml. Keys that are not\n"+
		"# set have their defaults; the appliance.toml that Muster ships lists every key.\n", translate.Printable(f.Path))
	return t.out.Text(head, "the Stream Replicator", t.remarks), t.remarks
}

func (t *translation) remark(r translate.Remark) { t.remarks = append(t.remarks, r) }

// general translates the site and the level of the log.
func (t *translation) general(top *mapping) {
	name := top.get("name")
	t.site = validName(name)
	switch {
	case name == "":
		t.remark(top.remark("name", translate.Caution, "not set; set site to the name that the hub has for this site"))
	case t.site != name:
		t.remark(top.remark("name", translate.Caution,
			"changed to "+t.site+": a site is one token of a subject, of A-Z, a-z, 0-9, _ and -"))
	}
	if t.site != "" {
		t.out.Set("", "site", translate.Quote(t.site), "")
	}
	switch level := top.get("loglevel"); level {
	case "debug", "warn":
		t.out.Set("log", "level", translate.Quote(level), "")
	case "", "info":
	default:
		t.remark(top.remark("loglevel", translate.Note, "read as info, as the Stream Replicator does"))
	}
}

// invalid matches what is not allowed in names.
var invalid = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// validName returns a valid name that is like a text; empty if the text has no valid character.
func validName(text string) string {
	if contract.ValidName(text) {
		return text
	}
	name := strings.Trim(invalid.ReplaceAllString(text, "-"), "-")
	return strings.TrimRight(name[:min(len(name), 64)], "-")
}
