package choria

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// inventoryFileSchema is how Choria knows an inventory file.
const inventoryFileSchema = "https://choria.io/schemas/choria/discovery/v1/inventory_file.json"

// defaultCollective is the one that a node is in which says nothing else.
const defaultCollective = "mcollective"

// Inventory is what the registration plugin inventory_content tells of a node, as far as
// others than the node itself ask for it.
type Inventory struct {
	Agents []struct {
		Name string `json:"name"`
	} `json:"agents"`
	Classes     []string        `json:"classes"`
	Facts       json.RawMessage `json:"facts"`
	Collectives []string        `json:"collectives"`
}

// AgentNames are the names of the node's agents.
func (i *Inventory) AgentNames() []string {
	names := make([]string, len(i.Agents))
	for at, a := range i.Agents {
		names[at] = a.Name
	}
	return names
}

// ClassNames are the classes of the node.
func (i *Inventory) ClassNames() []string { return i.Classes }

// InventoryFile writes the file from which Choria's clients discover nodes with "--dm
// inventory", node by node. Schema:
// https://choria.io/schemas/choria/discovery/v1/inventory_file.json.
type InventoryFile struct {
	w     io.Writer
	begun bool
}

// NewInventoryFile begins a file; nothing is written yet.
func NewInventoryFile(w io.Writer) *InventoryFile { return &InventoryFile{w: w} }

// Add writes a node. Without facts, classes or agents they are empty, and without
// collectives it is in Choria's own: Choria takes no node with less, and finds none that is
// in no collective.
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
		return fmt.Errorf("inventory of %s: %w", name, err)
	}
	if err := f.begin(",\n"); err != nil {
		return err
	}
	_, err = f.w.Write(text)
	return err
}

// Close writes the end.
func (f *InventoryFile) Close() error {
	if err := f.begin(""); err != nil {
		return err
	}
	_, err := io.WriteString(f.w, "\n]}\n")
	return err
}

// begin writes what comes before the nodes, once, and otherwise what is between them.
func (f *InventoryFile) begin(between string) error {
	if !f.begun {
		f.begun = true
		between = `{"$schema":"` + inventoryFileSchema + `","nodes":[` + "\n"
	}
	_, err := io.WriteString(f.w, between)
	return err
}
