package choria

import "testing"

func TestVolatile_ContainsFactsAndWhatIsBelow(t *testing.T) {
	v := Volatile{"uptime", "system.load"}
	for path, want := range map[string][2]bool{
		"uptime":          {true, false},
		"uptime.seconds":  {true, false},
		"uptime_seconds":  {false, false},
		"up":              {false, false},
		"system":          {false, true},
		"system.load":     {true, false},
		"system.load.1":   {true, false},
		"system.loads":    {false, false},
		"system.lo":       {false, false},
		"os.system.load":  {false, false},
		"":                {false, false},
		"system.":         {false, false},
		"system.load.1.a": {true, false},
	} {
		t.Run(path, func(t *testing.T) {
			if have := [2]bool{v.Contains(path), v.containsBelow(path)}; have != want {
				t.Errorf("contained, contains one below: have %v, want %v", have, want)
			}
		})
	}
}
