package main

import (
	"debug/buildinfo"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

func TestSPDX_ListsModulesAsTheyWereBuilt(t *testing.T) {
	info := &buildinfo.BuildInfo{
		GoVersion: "go1.26.0",
		Main:      debug.Module{Path: "example.net/muster"},
		Deps: []*debug.Module{
			{Path: "example.net/a", Version: "v1.0.0"},
			{Path: "example.net/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.net/c", Version: "v2.0.0"}},
		},
		Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "amd64"}},
	}
	d := spdx(info, "1.2.3", time.Unix(0, 0).UTC())
	var have []string
	for _, p := range d.Packages {
		have = append(have, p.Name+"@"+p.Version)
	}
	want := []string{"example.net/muster@1.2.3", "example.net/a@v1.0.0", "example.net/c@v2.0.0", "stdlib@1.26.0"}
	if !slices.Equal(have, want) || d.Name != "muster-1.2.3-amd64" || len(d.Relationships) != len(want) {
		t.Errorf("have %v, %s, %d relationships", have, d.Name, len(d.Relationships))
	}
}

func TestIsLicense(t *testing.T) {
	for name, want := range map[string]bool{
		"LICENSE": true, "license.md": true, "COPYING": true, "NOTICE": true,
		"README.md": false, "main.go": false,
	} {
		t.Run(name, func(t *testing.T) {
			if isLicense(name) != want {
				t.Errorf("isLicense is %v", !want)
			}
		})
	}
}
