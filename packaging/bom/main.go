// Command bom says what is in a binary of Muster: as an SPDX document, or as the licences and
// notices of its modules. It is run when packages are built,
// where the modules' sources are at hand.
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
	if len(args) != 3 || args[0] != "spdx" && args[0] != "licences" {
		return fmt.Errorf("usage: bom spdx|licences BINARY VERSION, with SOURCE_DATE_EPOCH set")
	}
	info, err := buildinfo.ReadFile(args[1])
	if err != nil {
		return err
	}
	modules := info.Deps
	if args[0] == "licences" {
		return printLicences(modules)
	}
	var epoch int64
	if _, err := fmt.Sscan(os.Getenv("SOURCE_DATE_EPOCH"), &epoch); err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(spdx(info, args[2], time.Unix(epoch, 0).UTC()))
}

// effective is the module that was built: a replaced one is another.
func effective(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

// printLicences prints that of each module, as it came with the module.
func printLicences(modules []*debug.Module) error {
	for _, m := range modules {
		m = effective(m)
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.Path).Output()
		if err != nil {
			return fmt.Errorf("find %s: %w", m.Path, err)
		}
		texts, err := licences(strings.TrimSpace(string(out)))
		if err != nil {
			return err
		}
		if len(texts) == 0 {
			return fmt.Errorf("%s %s has no licence", m.Path, m.Version)
		}
		fmt.Printf("%s\n%s %s\n\n%s\n", strings.Repeat("-", 72), m.Path, m.Version, strings.Join(texts, "\n"))
	}
	return nil
}

func licences(dir string) (texts []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		if entry.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "NOTICE") {
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

// document is SPDX 2.3 in JSON, see https://spdx.github.io/spdx-spec/v2.3/.
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

const nobodySays = "NOASSERTION"

func spdx(info *buildinfo.BuildInfo, version string, created time.Time) document {
	goarch := ""
	for _, s := range info.Settings {
		if s.Key == "GOARCH" {
			goarch = s.Value
		}
	}
	d := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "muster-" + version + "-" + goarch,
		Namespace: "https://github.com/muster-appliance/muster/spdx/" + version + "/" + goarch,
		Creation:  creation{created.Format(time.RFC3339), []string{"Tool: muster-bom"}},
	}
	add := func(path, version, licence string) string {
		id := fmt.Sprintf("SPDXRef-Package-%d", len(d.Packages))
		d.Packages = append(d.Packages, pkg{
			ID: id, Name: path, Version: version, Location: nobodySays, Concluded: nobodySays, Declared: licence, Copyright: nobodySays,
			Refs: []external{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + version}},
		})
		return id
	}
	self := add(info.Main.Path, version, "Apache-2.0")
	d.Relationships = append(d.Relationships, relationship{d.ID, "DESCRIBES", self})
	for _, m := range info.Deps {
		m = effective(m)
		d.Relationships = append(d.Relationships, relationship{self, "CONTAINS", add(m.Path, m.Version, nobodySays)})
	}
	d.Relationships = append(d.Relationships, relationship{self, "CONTAINS", add("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "BSD-3-Clause")})
	return d
}
