package main

import (
	"os"

	"github.com/muster-appliance/muster/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
