package host

import (
	"fmt"
	"testing"
)

func TestSpaceOf(t *testing.T) {
	s, err := SpaceOf(t.TempDir())
	if err != nil || s.Total == 0 || s.Free > s.Total {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := SpaceOf("/nowhere"); err == nil {
		t.Error("no error for a directory that does not exist")
	}
}

func TestSpace_Has(t *testing.T) {
	s := Space{Total: 1000, Free: 50}
	for _, test := range []struct {
		bytes, percent uint64
		want           bool
	}{{50, 5, true}, {51, 0, false}, {0, 6, false}, {0, 0, true}} {
		t.Run(fmt.Sprintf("%d bytes and %d percent", test.bytes, test.percent), func(t *testing.T) {
			if have := s.Has(test.bytes, test.percent); have != test.want {
				t.Errorf("%v, want %v", have, test.want)
			}
		})
	}
}
