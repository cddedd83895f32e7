package config

import (
	"strings"
	"testing"
)

func TestLocate_FindsKeysInEveryNotation(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"quoted key", "\"count\" = 11", `shop.toml:1: count: `},
		{"dotted key", "door.width = 0", `shop.toml:1: door.width: `},
		{"inline table", "\ndoor = {width = 0}", `shop.toml:2: door.width: `},
		{"comments", "# count = 1\n\ncount = 11 # count = 2", `shop.toml:3: count: `},
		{"text of several lines", "name = \"\"\"\ncount = 1\n\"\"\"\ncount = 11", `shop.toml:4: count: `},
		{"list of several lines", "topics = [\n 'count = 1',\n]\ncount = 11", `shop.toml:4: count: `},
		{"quoted table name", "[shelf.\"a b\"]\nheight = -1", `shop.toml:2: shelf.a b.height: `},
		{"list of tables", "[[shelf.top]]\nheight = 1", `shop.toml:1: shelf.top: expected a table, found a list`},
		{"header with blanks", "[ shelf . top ]\nheight = -1", `shop.toml:2: shelf.top.height: `},
		{"CRLF", "count = 1\r\n[door]\r\nwidth = 0\r\n", `shop.toml:3: door.width: `},
		{"key names in a list", "topics = [\n \"door\",\n \"x.width\"]\n[door]\nwidth = 0", `shop.toml:5: door.width: `},
		{"table name in a list", "topics = [\"foo.top.>\"]\n[shelf.top]\nheight = -1", `shop.toml:3: shelf.top.height: `},
		{"hash in a text", "name = \"a # b\" # count = 3\ncount = 11", `shop.toml:2: count: `},
		{"two tables", "[shelf.a]\nheight = 1\n[shelf.b]\nheight = 999", `shop.toml:4: shelf.b.height: `},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Load("shop.toml", []byte(test.text), newExampleTable())
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%s\nhave %v\nwant %s", test.text, err, test.want)
			}
		})
	}
}
