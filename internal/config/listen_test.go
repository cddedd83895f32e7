package config

import "testing"

func TestDialAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", ":1": "127.0.0.1:1",
		"192.0.2.1:1": "192.0.2.1:1", "localhost:1": "localhost:1", "[::1]:1": "[::1]:1",
	} {
		t.Run(listen, func(t *testing.T) {
			if have := DialAddress(listen); have != want {
				t.Errorf("have %s, want %s", have, want)
			}
		})
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "localhost:1": true, "[::1]:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, "example.net:1": false, "127.0.0.1": false,
	} {
		t.Run(address, func(t *testing.T) {
			if have := IsLoopback(address); have != want {
				t.Errorf("have %v, want %v", have, want)
			}
		})
	}
}

func TestCollide(t *testing.T) {
	for _, test := range []struct {
		one, other string
		want       bool
	}{
		{"127.0.0.1:443", "127.0.0.1:443", true},
		{"127.0.0.1:443", "127.0.0.1:444", false},
		{"127.0.0.1:443", "127.0.0.2:443", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"0.0.0.0:443", "127.0.0.1:443", true},
		{":443", "127.0.0.1:443", true},
		{":443", "[::1]:443", true},
		{"[::]:443", "127.0.0.1:443", true},
		{"[::]:443", "0.0.0.0:443", true},
		{"0.0.0.0:443", "[::1]:443", false},
		{"0.0.0.0:443", "localhost:443", true},
		{"localhost:443", "127.0.0.1:443", false}, // it may be another address
		{"443", "443", false},
	} {
		if Collide(test.one, test.other) != test.want || Collide(test.other, test.one) != test.want {
			t.Errorf("%s and %s: want %v", test.one, test.other, test.want)
		}
	}
}
