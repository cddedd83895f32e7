// Package brokerconf translates the configuration of a Choria broker to an appliance.toml, with
// remarks about everything that cannot be translated. It reads the broker's configuration files
// and no others, and writes none.
package brokerconf

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/translate"
)

// maxLine is the length of a line, in bytes, beyond which Choria's parser stops without an error.
const maxLine = 64 << 10

// entry is a key with its effective value.
type entry struct {
	key, value string
	file       string // name relative to the directory of the main file
	line       int
}

// File is a broker's configuration, including the files in plugin.d beside it.
type File struct {
	Path    string
	entries map[string]entry // by key
	remarks []translate.Remark
}

// Read reads a configuration as Choria does: a line is a key, "=" and a value; there are no
// quotes, no sections, and no comments after a value. The last line of a key is used.
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

// parse adds the entries of a file, and replaces those of earlier files.
func (f *File) parse(file, prefix, text string) {
	if strings.HasPrefix(text, "\ufeff") {
		f.addRemark(translate.Remark{Key: file, Class: translate.Caution,
			Reason: "the file begins with a byte order mark, which Choria reads as part of the first key"})
	}
	for number, line := range strings.Split(text, "\n") {
		if len(line) > maxLine {
			reason := fmt.Sprintf("line %d is longer than 64 KiB; Choria ignores it and everything after it", number+1)
			f.addRemark(translate.Remark{Key: file, Reason: reason})
			return
		}
		line = strings.TrimSpace(line)
		key, value, found := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if strings.HasPrefix(line, "#") || !found || key == "" || value == "" {
			continue // Choria ignores such lines
		}
		f.add(entry{prefix + key, value, file, number + 1})
	}
}

// pluginKeys matches the keys that Choria looks up by name, wherever they are set. All others are
// fields of its configuration, which only the main file sets and, for those of plugin.choria,
// plugin.d/choria.cfg.
var pluginKeys = regexp.MustCompile(`^plugin\.(choria\.(adapter\..+|` +
	`network\.(gateway_remote|leafnode_remote|mapping)\..+)|security\.issuer\.[^.]+\.public)$`)

// add sets an entry unless Choria ignores it, and remarks on entries that have no effect.
func (f *File) add(e entry) {
	setsFields := !strings.HasPrefix(e.file, "plugin.d/") || e.file == "plugin.d/choria.cfg"
	if !setsFields && !pluginKeys.MatchString(e.key) {
		f.addRemark(e.remark("without effect in Choria: it reads this key from the main file only, not from " + e.file))
		return
	}
	if before, has := f.entries[e.key]; has && before.value != e.value {
		f.addRemark(before.remark(fmt.Sprintf("replaced by the later value at %s:%d", e.file, e.line)))
	}
	f.entries[e.key] = e
}

func (f *File) addRemark(r translate.Remark) { f.remarks = append(f.remarks, r) }

var (
	// secretKey matches keys whose value may be a secret, login a name and password in a URL.
	secretKey = regexp.MustCompile(`(?i)pass|token|secret|credential|seed|pin\b|key$`)
	login     = regexp.MustCompile(`://[^/@\s]*@`)
)

// remark returns a remark about an entry. It does not show a value that may be a secret.
func (e entry) remark(reason string) translate.Remark {
	value := login.ReplaceAllString(e.value, "://…@")
	if secretKey.MatchString(e.key) {
		value = "…"
	}
	return translate.Remark{Key: e.key, Value: value, Reason: reason}
}
