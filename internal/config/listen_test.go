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
