package adapter

import "testing"

func TestMemoryPool_ReturnsTheRequestedSize(t *testing.T) {
	var p memoryPool
	for size := 0; size < 2*maxReused; size += 777 {
		slice := p.get(size)
		if len(slice) != size || cap(slice) > size+sizeStep {
			t.Errorf("get(%d): length %d, capacity %d", size, len(slice), cap(slice))
		}
		p.put(slice)
		if again := p.get(size); len(again) != size || cap(again) > size+sizeStep {
			t.Errorf("get(%d) after put: length %d, capacity %d", size, len(again), cap(again))
		}
	}
	p.put(make([]byte, 100)) // not a multiple of sizeStep
	if got := p.get(1000); len(got) != 1000 {
		t.Errorf("get(1000): length %d", len(got))
	}
}
