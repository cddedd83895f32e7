package broker

import (
	"slices"
	"testing"
	"time"
)

func TestBucketList_ListsStreamsOnceASecond(t *testing.T) {
	now, asked := time.Unix(1000, 0), 0
	b := &readableStreamList{now: func() time.Time { return now }, list: func() []string {
		asked++
		return []string{"KV_A", "KV_CHORIA_LEADER_ELECTION", "GOVERNOR_G", "CHORIA_REGISTRATION", "KV"}
	}}
	for range 1000 {
		now = now.Add(5 * time.Millisecond)
		if names := b.current(); !slices.Equal(names, []string{"KV_A", "GOVERNOR_G"}) {
			t.Fatalf("have %v", names)
		}
	}
	if asked < 4 || asked > 6 {
		t.Errorf("asked %d times in five seconds", asked)
	}
}
