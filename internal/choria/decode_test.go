package choria

import "testing"

func TestHasLoneSurrogate(t *testing.T) {
	for text, want := range map[string]bool{
		`"\ud83d\ude00"`: false, `"\uD83D\uDE00"`: false, `"\\ud83d"`: false, `\`: false, `\u`: false,
		`"\ud83d\\ude00"`: true, `"\u00e4\ud83d"`: true,
	} {
		t.Run(text, func(t *testing.T) {
			if have := hasLoneSurrogate([]byte(text)); have != want {
				t.Errorf("have %v, want %v", have, want)
			}
		})
	}
}
