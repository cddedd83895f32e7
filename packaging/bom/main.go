// Command bom prints what a binary of Muster contains: its modules as an SPDX document, or the
// licenses and notices of these modules. packaging/build runs it: it reads the licenses from
// Go's module cache.
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 || args[0] != "spdx" && args[0] != "licenses" {
		return fmt.Errorf("usage: bom spdx|licenses BINARY VERSION, with SOURCE_DATE_EPOCH set")
	}
	info, err := buildinfo.ReadFile(args[1])
	if err != nil {
		return err
	}
	modules := info.Deps
	if args[0] == "licenses" {
		return printLicenses(modules)
	}
	var epoch int64
	if _, err := fmt.Sscan(os.Getenv("SOURCE_DATE_EPOCH"), &epoch); err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(spdx(info, args[2], time.Unix(epoch, 0).UTC()))
}

// effective returns the module that was built: the replacement, if there is one.
func effective(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

// printLicenses prints the license files of each module, as the module contains them.
func printLicenses(modules []*debug.Module) error {
	for _, m := range modules {
		m = effective(m)
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.Path).Output()
		if err != nil {
			return fmt.Errorf("find %s: %w", m.Path, err)
		}
		texts, err := licenseFiles(strings.TrimSpace(string(out)))
		if err != nil {
			return err
		}
		if len(texts) == 0 {
			return fmt.Errorf("%s %s has no license file", m.Path, m.Version)
		}
		fmt.Printf("%s\n%s %s\n\n%s\n", strings.Repeat("-", 72), m.Path, m.Version, strings.Join(texts, "\n"))
	}
	return nil
}

// licenseFiles returns the licenses and notices in a module's directory.
func licenseFiles(dir string) (texts []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.IsDir() || !isLicense(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(text))
	}
	return texts, nil
}

func isLicense(file string) bool {
	for _, prefix := range []string{"LICEN", "COPYING", "NOTICE"} { // both spellings of license
		if strings.HasPrefix(strings.ToUpper(file), prefix) {
			return true
		}
	}
	return false
}

// document is an SPDX 2.3 document in JSON, see https://spdx.github.io/spdx-spec/v2.3/.
type document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Packages      []pkg          `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type pkg struct {
	ID        string     `json:"SPDXID"`
	Name      string     `json:"name"`
	Version   string     `json:"versionInfo"`
	Location  string     `json:"downloadLocation"`
	Analyzed  bool       `json:"filesAnalyzed"`
	Concluded string     `json:"licenseConcluded"`
	Declared  string     `json:"licenseDeclared"`
	Copyright string     `json:"copyrightText"`
	Refs      []external `json:"externalRefs,omitempty"`
}

type external struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// noAssertion is SPDX's value for a field about which the document makes no claim.
const noAssertion = "NOASSERTION"

// spdx returns the document of a binary: Muster, its modules, and Go's standard library.
func spdx(info *buildinfo.BuildInfo, version string, created time.Time) document {
	goarch := ""
	for _, s := range info.Settings {
		if s.Key == "GOARCH" {
			goarch = s.Value
		}
	}
	d := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT",
		Name:      "muster-" + version + "-" + goarch,
		Namespace: "https://github.com/muster-appliance/muster/spdx/" + version + "/" + goarch,
		Creation:  creation{created.Format(time.RFC3339), []string{"Tool: muster-bom"}},
	}
	add := func(path, version, license string) string {
		id := fmt.Sprintf("SPDXRef-Package-%d", len(d.Packages))
		d.Packages = append(d.Packages, pkg{
			ID: id, Name: path, Version: version, Location: noAssertion,
			Concluded: noAssertion, Declared: license, Copyright: noAssertion,
			Refs: []external{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + version}},
		})
		return id
	}
	self := add(info.Main.Path, version, "Apache-2.0")
	d.Relationships = append(d.Relationships, relationship{d.ID, "DESCRIBES", self})
	for _, m := range info.Deps {
		m = effective(m)
		d.Relationships = append(d.Relationships, relationship{self, "CONTAINS", add(m.Path, m.Version, noAssertion)})
	}
	stdlib := add("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "BSD-3-Clause")
	d.Relationships = append(d.Relationships, relationship{self, "CONTAINS", stdlib})
	return d
}
