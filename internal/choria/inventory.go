package choria

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// inventoryFileSchema is the "$schema" by which Choria recognizes an inventory file.
const inventoryFileSchema = "https://choria.io/schemas/choria/discovery/v1/inventory_file.json"

// defaultCollective is the collective of a node that names none.
const defaultCollective = "mcollective"

// Inventory is what a node registers with the plugin inventory_content, as far as Muster uses it.
type Inventory struct {
	Agents []struct {
		Name string `json:"name"`
	} `json:"agents"`
	Classes     []string        `json:"classes"`
	Facts       json.RawMessage `json:"facts"` // an object
	Collectives []string        `json:"collectives"`
}

// AgentNames returns the names of the node's agents.
func (i *Inventory) AgentNames() []string {
	names := make([]string, len(i.Agents))
	for at, a := range i.Agents {
		names[at] = a.Name
	}
	return names
}

// ClassNames returns the node's classes.
func (i *Inventory) ClassNames() []string { return i.Classes }

// InventoryFile writes the file in which Choria's clients discover nodes with "--dm inventory",
// node by node. The schema is inventoryFileSchema. It is not safe for concurrent use.
type InventoryFile struct {
	w       io.Writer
	started bool // the beginning of the file is written
}

// NewInventoryFile returns an InventoryFile that writes to w. Nothing is written before the
// first Add or Close.
func NewInventoryFile(w io.Writer) *InventoryFile { return &InventoryFile{w: w} }

// Add writes a node; i may be nil. Missing facts, classes and agents are written as empty ones,
// and missing collectives as "mcollective": Choria refuses a file in which a node lacks one of
// these keys, and does not find a node without a collective.
func (f *InventoryFile) Add(name string, i *Inventory) error {
	node := struct {
		Name        string          `json:"name"`
		Collectives []string        `json:"collectives"`
		Facts       json.RawMessage `json:"facts"`
		Classes     []string        `json:"classes"`
		Agents      []string        `json:"agents"`
	}{name, []string{defaultCollective}, json.RawMessage("{}"), []string{}, []string{}}
	if i != nil {
		node.Agents = i.AgentNames()
		if len(i.Collectives) > 0 {
			node.Collectives = i.Collectives
		}
		if facts := bytes.TrimSpace(i.Facts); len(facts) > 0 && facts[0] == '{' {
			node.Facts = facts
		}
		if i.Classes != nil {
			node.Classes = i.Classes
		}
	}
	text, err := json.Marshal(node)
	if err != nil {
		return fmt.Errorf("encode the inventory of %s: %w", name, err)
	}
	if err := f.separate(",\n"); err != nil {
		return err
	}
	_, err = f.w.Write(text)
	return err
}

// Close writes the end of the file. It does not close the writer.
func (f *InventoryFile) Close() error {
	if err := f.separate(""); err != nil {
		return err
	}
	_, err := io.WriteString(f.w, "\n]}\n")
	return err
}

// separate writes the beginning of the file on its first call, and the separator on all others.
func (f *InventoryFile) separate(separator string) error {
	if !f.started {
		f.started = true
		separator = `{"$schema":"` + inventoryFileSchema + `","nodes":[` + "\n"
	}
	_, err := io.WriteString(f.w, separator)
	return err
}
