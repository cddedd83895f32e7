package bench

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/nats-io/nats.go"
)

// Benchmark is a load and the appliance that it is put on. Without Load.Server, Run starts an
// appliance, and certificates and tokens are made for it.
type Benchmark struct {
	Subprocess Subprocess
	Load       Load
	Ceiling    bool // publish the same load without an adapter too; not with Load.Server

	// Of the appliance that Run starts.
	Signed    bool // sign every message; Load.TLS implies it
	Appliance ApplianceOptions

	// Of the running appliance that Load.Server names.
	Console string // URL
	Config  string // its configuration file; empty: its broker accepts every connection
	PID     int    // its process; 0: not on this machine
}

// Run publishes the load and returns the result once every message has its outcome. Meanwhile
// it calls progress with the ledger, several times a second.
func (b Benchmark) Run(ctx context.Context, progress func(Ledger)) (Result, error) {
	remove, err := makeSite(&b.Load, b.Signed)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = remove() }() // a temporary directory
	result, err := b.measure(ctx, progress)
	if err != nil || !b.Ceiling {
		return result, err
	}
	b.Load.Direct = true
	direct, err := b.measure(ctx, progress)
	result.compareCeiling(direct)
	return result, err
}

// makeSite makes the certificates and tokens of a load that is signed, or whose connections
// use TLS, in a temporary directory. A load for a running appliance brings its own.
func makeSite(load *Load, signed bool) (remove func() error, err error) {
	if load.Server != "" || !signed && !load.TLS {
		return func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "muster-bench-site-")
	if err != nil {
		return nil, err
	}
	remove = func() error { return os.RemoveAll(dir) }
	if _, err := enroll.Init(enroll.Options{Dir: dir, Name: "127.0.0.1", Issuer: true}, time.Now()); err != nil {
		return nil, errors.Join(err, remove())
	}
	load.Site = dir
	return remove, nil
}

// measure puts the load on the running appliance, or on one that it starts and stops.
func (b Benchmark) measure(ctx context.Context, progress func(Ledger)) (Result, error) {
	if b.Load.Server == "" {
		s, err := startAppliance(ctx, b.Subprocess, b.Load, b.Appliance)
		if err != nil {
			return Result{}, err
		}
		defer s.stop()
		b.Load.Server, b.Console, b.Config, b.PID = s.broker, s.console, s.config, s.cmd.Process.Pid
	}
	t := target{server: b.Load.Server, stream: contract.StreamRegistration, pid: b.PID}
	if !b.Load.Direct {
		t.console = b.Console
	}
	var err error
	if t.admin, err = adminOptions(b.Config); err != nil {
		return Result{}, err
	}
	return t.run(ctx, b.Subprocess, b.Load, progress)
}

func adminOptions(config string) ([]nats.Option, error) {
	if config == "" {
		return nil, nil
	}
	cfg, err := appliance.Load(config)
	if err != nil {
		return nil, err
	}
	return cfg.AdminOptions(time.Now())
}
