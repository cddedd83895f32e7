package brokerconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// read writes a configuration to a file and reads it.
func read(t *testing.T, text string) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRead_GrammarIsChorias(t *testing.T) {
	f := read(t, "\ufeffodd = 1\r\n  a.b  =  x = y # z  \n#c = 1\n = d\ne =\nf\ng = \"q\"\nA.b = 2\n")
	want := map[string]string{"a.b": "x = y # z", "g": `"q"`, "A.b": "2"}
	for key, value := range want {
		if have := f.entries[key].value; have != value {
			t.Errorf("%s is %q, want %q", key, have, value)
		}
	}
	if len(f.entries) != 4 { // the fourth key begins with the byte order mark
		t.Errorf("%+v", f.entries)
	}
}

func TestRead_StopsAtLongLine(t *testing.T) {
	f := read(t, "a = 1\nb = "+strings.Repeat("x", maxLine)+"\nc = 2\n")
	const reason = "line 2 is longer than 64 KiB"
	if len(f.entries) != 1 || len(f.remarks) != 1 || !strings.Contains(f.remarks[0].Reason, reason) {
		t.Errorf("%+v %+v", f.entries, f.remarks)
	}
}
