package choria

import (
	"bytes"
	"testing"
	"time"
)

// checkUnpacker compares the unpacker with readStored, and reports whether the registration has the form that the
// unpacker scans.
func checkUnpacker(t *testing.T, u *unpacker, kind string, data []byte) (scanned bool) {
	t.Helper()
	wantKind, want, wantErr := readStored(kind, data)
	haveKind, have, err := u.readStored(kind, data)
	if haveKind != wantKind || !bytes.Equal(have, want) || (err == nil) != (wantErr == nil) ||
		err != nil && err.Error() != wantErr.Error() {
		t.Errorf("have %s %.100q %v, want %s %.100q %v", haveKind, have, err, wantKind, want, wantErr)
	}
	return kind == "" && u.scan(data) != ""
}

func TestUnpacker_ScansWhatServersWrite(t *testing.T) {
	var u unpacker
	scanned := 0
	for _, c := range captures(t, "registration") {
		m, err := parseRequest(read(t, c.File))
		if err != nil {
			t.Fatal(err)
		}
		if checkUnpacker(t, &u, "", m.AppendOutput(nil)) {
			scanned++
		}
	}
	if scanned < 8 {
		t.Errorf("%d of the captures were scanned", scanned)
	}
	for name, body := range map[string]string{
		"no mtime": `{"file":"/f","updated":false,"protocol":"` + fileContent + `","zcontent":""}`,
		"large mtime": `{"mtime":253402300800,"file":"/f","updated":true,"protocol":"` + fileContent +
			`","zcontent":"eA=="}`,
		"not compressed": `{"mtime":1,"file":"/f","updated":true,"protocol":"` + fileContent + `","zcontent":"eA=="}`,
		"empty":          `{"protocol":"` + inventoryContent + `","zcontent":""}`,
		"other base64":   `{"protocol":"` + inventoryContent + `","zcontent":"eB=="}`,
		"other body":     `{"protocol":"x"}`,
	} {
		t.Run(name, func(t *testing.T) { checkUnpacker(t, &u, "", stored(t, []byte(body), 1)) })
	}
	deep, err := FileBody("/f", time.Unix(1, 0), true, bytes.Repeat([]byte("["), maxDepth+1), true)
	if err != nil {
		t.Fatal(err)
	}
	large, err := InventoryBody(make([]byte, MaxContent+1), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range [][]byte{deep, large} {
		if !checkUnpacker(t, &u, "", stored(t, body, 1)) {
			t.Errorf("%.100s was not scanned", body)
		}
	}
}

// FuzzUnpacker mutates outputs, and bodies in an output.
func FuzzUnpacker(f *testing.F) {
	for _, c := range captures(f, "registration") {
		m, err := parseRequest(read(f, c.File))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.AppendOutput(nil), false)
		f.Add(bytes.Clone(m.Body), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, isBody bool) {
		var u unpacker
		if isBody {
			m := Message{Sender: "web1", ID: "1", Time: time.Unix(1, 0), Body: data}
			data = m.AppendOutput(nil)
		}
		checkUnpacker(t, &u, "", data)
	})
}
