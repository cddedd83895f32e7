package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest matches a test that docs/promises.md names: its package and its function.
var namedTest = regexp.MustCompile("`([a-z./]+) ((?:Test|Fuzz)\\w+)`")

// TestPromises_NameTestsThatExist finds rows without a test, and tests that were renamed or deleted.
func TestPromises_NameTestsThatExist(t *testing.T) {
	rows := 0
	for _, row := range strings.Split(read(t, "docs/promises.md"), "\n") {
		cells := strings.Split(strings.Trim(row, "|"), " | ")
		tests := strings.Trim(cells[len(cells)-1], " |")
		if len(cells) < 2 || tests == "tests" {
			continue
		}
		rows++
		named := namedTest.FindAllStringSubmatch(tests, -1)
		if rest := strings.TrimSpace(namedTest.ReplaceAllString(tests, "")); rest != "" && tests != "none" {
			t.Errorf("expected tests or \"none\", found %q in %s", rest, row)
		}
		for _, n := range named {
			if !hasFunction(t, n[1], n[2]) {
				t.Errorf("%s has no test %s", n[1], n[2])
			}
		}
	}
	if rows < 50 {
		t.Errorf("found only %d rows: are they recognized?", rows)
	}
}

// hasFunction reports whether a test file of the package has the function.
func hasFunction(t *testing.T, dir, function string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+function+"(") {
			return true
		}
	}
	return false
}
