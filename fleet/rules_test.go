package fleet

import (
	"strings"
	"testing"
	"time"
)

func TestRules_Limits(t *testing.T) {
	const secs, mins, hours = time.Second, time.Minute, time.Hour
	for name, test := range map[string]struct {
		rules      Rules
		interval   time.Duration // 0: not known
		late, down time.Duration
	}{
		"auto, not known":               {Rules{}, 0, 35 * mins, 70 * mins},
		"auto, Choria's default":        {Rules{}, 5 * mins, 11 * mins, 16 * mins},
		"auto, a large fleet":           {Rules{}, 30 * mins, 61 * mins, 91 * mins},
		"auto, a day":                   {Rules{}, 24 * hours, 48*hours + mins, 72*hours + mins},
		"auto, a short interval":        {Rules{}, 10 * secs, 6 * mins, 11 * mins},
		"fixed":                         {Rules{Late: 2 * mins, Down: 3 * mins}, 30 * mins, 2 * mins, 3 * mins},
		"late fixed":                    {Rules{Late: 2 * mins}, 5 * mins, 2 * mins, 16 * mins},
		"late fixed, later than down":   {Rules{Late: 2 * hours}, 5 * mins, 2 * hours, 2 * hours},
		"down fixed":                    {Rules{Down: 3 * hours}, 5 * mins, 11 * mins, 3 * hours},
		"down fixed, earlier than late": {Rules{Down: 3 * mins}, 5 * mins, 3 * mins, 3 * mins},
	} {
		t.Run(name, func(t *testing.T) {
			g := gapsOf(test.interval)
			if late, down := test.rules.limits(&g); late != test.late || down != test.down {
				t.Errorf("late after %s, down after %s; want %s and %s", late, down, test.late, test.down)
			}
		})
	}
}

// Two registrations tell an interval, but not for certain: the limits are never shorter than without.
func TestRules_LimitsWhileTheIntervalIsUncertain(t *testing.T) {
	for _, test := range []struct{ gap, late, down time.Duration }{
		{3 * time.Second, 35 * time.Minute, 70 * time.Minute},
		{time.Hour, 121 * time.Minute, 181 * time.Minute},
	} {
		var g gaps
		g.add(test.gap)
		if late, down := new(Rules).limits(&g); late != test.late || down != test.down {
			t.Errorf("after %s: late after %s, down after %s; want %s and %s", test.gap, late, down, test.late, test.down)
		}
	}
}

func TestRules_DescriptionsSayHowLimitsFollow(t *testing.T) {
	auto, fixed := Rules{Grace: time.Second}, testRules(time.Time{})
	for _, test := range []struct {
		rules *Rules
		state State
		want  string
	}{
		{&auto, Late, "no registration for two of its intervals and 1m (at least 6m; 35m while its interval is not known)"},
		{&auto, Down, "no registration for three of its intervals and 1m (at least 11m; 1h10m while its"},
		{&fixed, Late, "no registration for 6m"},
		{&fixed, Down, "no registration for 11m"},
	} {
		if have := test.rules.Descriptions()[test.state]; !strings.Contains(have, test.want) {
			t.Errorf("%s: %q lacks %q", test.state, have, test.want)
		}
	}
}
