// Package replicatorconf translates the configuration of Choria's Stream Replicator to the tables [forward.*] of an
// appliance.toml, with remarks about everything that cannot be translated. It reads that file and no other, and
// writes none.
package replicatorconf

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/translate"
	"go.yaml.in/yaml/v3"
)

// File is a configuration of the Stream Replicator.
type File struct {
	Path string
	root *yaml.Node
}

// Read reads a configuration, a YAML file.
func Read(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

// parse reads the text of a configuration.
func parse(path string, text []byte) (*File, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	root := &yaml.Node{Kind: yaml.MappingNode} // of an empty file
	if len(document.Content) > 0 {
		root = resolve(document.Content[0])
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: expected keys and values, as in the configuration of the Stream Replicator", path)
	}
	return &File{Path: path, root: root}, nil
}

// resolve returns the node that an alias stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// mapping is a YAML mapping. Like the Stream Replicator, it does not tell upper from lower case in keys.
type mapping struct {
	path   string // of its keys in remarks: empty, or with a dot at the end
	keys   []string
	values map[string]*yaml.Node
	used   map[string]bool // keys that were translated or remarked on
}

// newMapping returns the keys of a node; none if it is not a mapping.
func newMapping(path string, n *yaml.Node) *mapping {
	m := &mapping{path: path, values: map[string]*yaml.Node{}, used: map[string]bool{}}
	if n == nil || n.Kind != yaml.MappingNode {
		return m
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := strings.ToLower(n.Content[i].Value)
		if !slices.Contains(m.keys, key) {
			m.keys = append(m.keys, key)
		}
		m.values[key] = resolve(n.Content[i+1])
	}
	return m
}

// get returns the value of a key, and marks the key as used. The value is empty if the key is not set, or is not a
// single value.
func (m *mapping) get(key string) string {
	m.used[key] = true
	return m.peek(key)
}

// peek is like get, and does not mark the key.
func (m *mapping) peek(key string) string {
	n := m.values[key]
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return strings.TrimSpace(n.Value)
}

// isSet reports whether a key has another value than an empty one, false or 0, and marks the key as used.
func (m *mapping) isSet(key string) bool {
	m.used[key] = true
	n := m.values[key]
	if n == nil || n.Kind != yaml.ScalarNode {
		return n != nil && len(n.Content) > 0
	}
	return !slices.Contains([]string{"", "0", "false", "no", "off", "null", "~"}, strings.ToLower(m.peek(key)))
}

// sub returns the mapping that a key has, and marks the key as used.
func (m *mapping) sub(key string) *mapping {
	m.used[key] = true
	return newMapping(m.path+key+".", m.values[key])
}

// list returns the elements of the sequence that a key has, and marks the key as used.
func (m *mapping) list(key string) []*yaml.Node {
	m.used[key] = true
	n := m.values[key]
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	elements := make([]*yaml.Node, len(n.Content))
	for i, element := range n.Content {
		elements[i] = resolve(element)
	}
	return elements
}

// remark returns a remark about a key. It does not show a value that has a login.
func (m *mapping) remark(key string, class translate.Class, reason string) translate.Remark {
	value := m.peek(key)
	if strings.Contains(value, "@") {
		value = "…"
	}
	return translate.Remark{Key: m.path + key, Value: value, Class: class, Reason: reason}
}
