package forward

import "testing"

func TestRateMeter_PerSecond(t *testing.T) {
	var r rateMeter
	for second := range 30 {
		r.add(100, at(second))
	}
	if have := r.perSecond(at(30)); have < 90 || have > 110 {
		t.Errorf("have %v bytes per second", have)
	}
	if have := r.perSecond(at(60)); have != 0 {
		t.Errorf("have %v bytes per second after a pause", have)
	}
}
