package adapter

import "testing"

func TestBuffers_FitTheRequestedSize(t *testing.T) {
	var b buffers
	for size := 0; size < 2*maxReused; size += 777 {
		slice := b.get(size)
		if len(slice) != size || cap(slice) > size+sizeStep {
			t.Errorf("get(%d): length %d, capacity %d", size, len(slice), cap(slice))
		}
		b.put(slice)
		if again := b.get(size); len(again) != size || cap(again) > size+sizeStep {
			t.Errorf("get(%d) after put: length %d, capacity %d", size, len(again), cap(again))
		}
	}
	b.put(make([]byte, 100)) // not a multiple of sizeStep
	if got := b.get(1000); len(got) != 1000 {
		t.Errorf("get(1000): length %d", len(got))
	}
}
