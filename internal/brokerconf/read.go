// Package brokerconf reads the configuration of a Choria broker and writes what an appliance
// would make of it. It looks at no other file than those, and starts nothing.
package brokerconf

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// longestLine is where Choria's parser stops reading, without a word.
const longestLine = 64 << 10

// entry is a key with the value that counts.
type entry struct {
	key, value string
	file       string // base name of where it stands
	line       int
}

// File is a broker's configuration, with what lies in plugin.d beside it.
type File struct {
	Path    string
	entries map[string]entry
	remarks []Remark
}

// Read reads a configuration as Choria does: a line is a key, "=" and a value; there are no
// quotes, no comments behind a value, no sections. The last line of a key counts.
func Read(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &File{Path: path, entries: map[string]entry{}}
	f.parse(filepath.Base(path), "", string(text))
	dir := filepath.Join(filepath.Dir(path), "plugin.d")
	plugins, err := filepath.Glob(filepath.Join(dir, "*.cfg"))
	if err != nil {
		return nil, err
	}
	slices.Sort(plugins)
	for _, plugin := range plugins {
		text, err := os.ReadFile(plugin)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(plugin), ".cfg")
		f.parse("plugin.d/"+filepath.Base(plugin), "plugin."+name+".", string(text))
	}
	return f, nil
}

// parse lays a text over what is there.
func (f *File) parse(file, prefix, text string) {
	if strings.HasPrefix(text, "\ufeff") {
		f.remark(Remark{Key: file, Danger: true, Reason: "it begins with a byte order mark, which Choria takes for a part of the first key"})
	}
	for number, line := range strings.Split(text, "\n") {
		if len(line) > longestLine {
			f.remark(Remark{Key: file, Reason: fmt.Sprintf("line %d is longer than 64 KiB: Choria reads nothing from there on", number+1)})
			return
		}
		line = strings.TrimSpace(line)
		key, value, found := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if strings.HasPrefix(line, "#") || !found || key == "" || value == "" { // such lines are none
			continue
		}
		f.take(entry{prefix + key, value, file, number + 1})
	}
}

// raw are the keys that Choria looks up as they are. All others it has in fields of its own,
// which the main file alone sets, and for plugin.choria plugin.d/choria.cfg too.
var raw = regexp.MustCompile(`^plugin\.(choria\.(adapter\..+|network\.(gateway_remote|leafnode_remote|mapping)\..+)|security\.issuer\.[^.]+\.public)$`)

func (f *File) take(e entry) {
	fields := !strings.HasPrefix(e.file, "plugin.d/") || e.file == "plugin.d/choria.cfg"
	if !fields && !raw.MatchString(e.key) {
		f.remark(e.remark("Choria takes it from its main file alone, and leaves out what stands in " + e.file))
		return
	}
	if before, has := f.entries[e.key]; has && before.value != e.value {
		f.remark(before.remark(fmt.Sprintf("%s:%d says otherwise, and what comes last counts", e.file, e.line)))
	}
	f.entries[e.key] = e
}

// Remark is something that who imports should know.
type Remark struct {
	Key    string
	Value  string
	Reason string
	Danger bool // it does not do what its author thought
}

// String is the remark in one line.
func (r Remark) String() string {
	text := r.Key
	if r.Value != "" {
		text += " = " + r.Value
	}
	if r.Danger {
		text = "CAUTION " + text
	}
	return plain(text + ": " + r.Reason)
}

// plain does nothing to a terminal, and is what a comment in TOML may be.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

func (f *File) remark(r Remark) { f.remarks = append(f.remarks, r) }

var (
	// secretKey is a key whose value may be one, login a name and password in an address.
	secretKey = regexp.MustCompile(`(?i)pass|token|secret|credential|seed|pin\b|key$`)
	login     = regexp.MustCompile(`://[^/@\s]*@`)
)

// remark is about an entry. What may be a secret is not shown.
func (e entry) remark(reason string) Remark {
	value := login.ReplaceAllString(e.value, "://…@")
	if secretKey.MatchString(e.key) {
		value = "…"
	}
	return Remark{Key: e.key, Value: value, Reason: reason}
}
