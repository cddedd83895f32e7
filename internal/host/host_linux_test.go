package host

import "testing"

func TestHost_FactsCanBeRead(t *testing.T) {
	for name, read := range map[string]func() (uint64, error){"descriptors": Descriptors, "backlog": Backlog} {
		t.Run(name, func(t *testing.T) {
			if n, err := read(); err != nil || n == 0 {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	t.Run("tracked connections", func(t *testing.T) {
		if _, err := Tracked(); err != nil {
			t.Error(err)
		}
	})
	t.Run("clock", func(t *testing.T) {
		if _, err := ClockSynced(); err != nil {
			t.Error(err)
		}
	})
}
