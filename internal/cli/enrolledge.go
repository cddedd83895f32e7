package cli

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/enroll"
)

// edgeListen is where the broker of an edge listens.
const edgeListen = "0.0.0.0:4222"

// enrollEdge creates the files of an edge, lets it forward, and prints the next steps. If the edge forwards to another
// edge of the hub, that one forwards for its site too.
func (p *program) enrollEdge(s *enroll.Site, cfg *appliance.Config, e enrollment) error {
	forwarder := e.name // from which the hub gets what the site has
	if host, _, err := net.SplitHostPort(brokerAddress(e.broker)); err == nil && s.HasEdge(host) {
		forwarder = host
	}
	if err := checkSite(s, cfg, e, forwarder); err != nil {
		return err
	}
	keys, roles := admission(&cfg.Broker)
	edge := enroll.Edge{Identity: e.name, Site: e.site, Hub: e.broker, Listen: edgeListen, Broker: keys, Roles: roles,
		InstallDir: cmp.Or(e.installDir, filepath.Dir(installedConfig)), Force: e.force}
	if filepath.Clean(edge.InstallDir) == filepath.Dir(installedConfig) {
		edge.Data = appliance.InstalledDir
	}
	files, err := s.EnrollEdge(edge, time.Now())
	if err != nil {
		return err
	}
	allowed, line, err := allowSite(s.Config(), e.site, forwarder)
	if err != nil {
		return err
	}
	p.printEdge(edge, files)
	p.printSite(s, cfg, line, allowed)
	if forwarder != e.name {
		fmt.Fprintf(p.out, "\nAdd this line to [broker.sites] on %s:\n\n  %s = %q\n", forwarder, e.site, e.name)
	}
	p.printWebSocket(s, cfg, e.broker)
	fmt.Fprintf(p.out, "\nNodes of the site connect to the edge:\n\n  %s enroll NODE --dir %s --broker %s\n",
		commandName(), e.dir, net.JoinHostPort(e.name, portOf(edgeListen)))
	return nil
}

// checkSite returns an error for a site whose messages the hub gets from elsewhere.
func checkSite(s *enroll.Site, cfg *appliance.Config, e enrollment, forwarder string) error {
	if e.site == cfg.Site {
		return fmt.Errorf("%s is the site of the hub itself; choose another name", e.site)
	}
	if present, has := cfg.Broker.Sites[e.site]; has && present != forwarder && !e.force {
		return fmt.Errorf("%s forwards for the site %s, see [broker.sites] in %s; --force replaces it",
			present, e.site, s.Config())
	}
	return nil
}

// printEdge prints what to do on the edge.
func (p *program) printEdge(e enroll.Edge, files string) {
	fmt.Fprintf(p.out, "%s is enrolled as the edge of the site %s.\n\n", e.Identity, e.Site)
	if e.Data == appliance.InstalledDir {
		fmt.Fprintf(p.out, `Copy to the edge the files in

  %[1]s

and run there, with the package installed:

  install -g muster -m 640 -t %[2]s %[3]s/*
  systemctl enable --now muster

`, files, e.InstallDir, e.Identity)
		return
	}
	fmt.Fprintf(p.out, `Copy to %[2]s on the edge the files in

  %[1]s

and run there:

  muster run --config %[3]s

`, files, e.InstallDir, filepath.Join(e.InstallDir, filepath.Base(installedConfig)))
}

// printSite prints what to do at the hub.
func (p *program) printSite(s *enroll.Site, cfg *appliance.Config, line string, allowed bool) {
	if allowed {
		fmt.Fprintf(p.out, "[broker.sites] in %s has the site: %s\n", s.Config(), line)
	} else {
		fmt.Fprintf(p.out, "Add this line to [broker.sites] in %s:\n\n  %s\n\n", s.Config(), line)
	}
	if len(cfg.Broker.Sites) == 0 {
		fmt.Fprintln(p.out, "Restart the hub: with the first site, its streams get one more subject."+
			"\nFurther sites apply with SIGHUP.")
		return
	}
	fmt.Fprintln(p.out, "The hub applies it on SIGHUP, without a restart.")
}

// printWebSocket prints what the hub lacks if the edge connects to a WebSocket of the hub itself.
func (p *program) printWebSocket(s *enroll.Site, cfg *appliance.Config, hub string) {
	host, _, _ := net.SplitHostPort(brokerAddress(hub)) // enrollment.validate has checked it
	if strings.HasPrefix(hub, webSocket) && host == cfg.Identity && cfg.Broker.WebSocket.Listen == "" {
		fmt.Fprintf(p.out, "\nThe hub has no port for WebSocket: set listen in [broker.websocket] in\n%s, and restart it.\n",
			s.Config())
	}
}

// portOf returns the port of an address.
func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address) // empty if there is none
	return port
}

// admission returns the lines of [broker], and the table [broker.roles], with which another appliance admits the same
// nodes and clients with the same rights. Keys with their defaults are left out.
func admission(b *broker.Config) (keys, roles string) {
	defaults := broker.DefaultConfig()
	var lines, tables strings.Builder
	if !slices.Equal(b.Collectives, defaults.Collectives) {
		fmt.Fprintf(&lines, "collectives = %s\n", quotedList(b.Collectives))
	}
	if b.MainCollective != defaults.MainCollective {
		fmt.Fprintf(&lines, "main_collective = %q\n", b.MainCollective)
	}
	standard := defaults.Roles.Keys()
	for i, key := range b.Roles.Keys() {
		if key.Name != "reader" && key.Value.String() != standard[i].Value.String() {
			fmt.Fprintf(&tables, "%s = %s\n", key.Name, key.Value)
		}
	}
	if tables.Len() > 0 {
		roles = "\n[broker.roles]\n" + tables.String()
	}
	if len(b.Roles.Reader) > 0 {
		roles += "\n[broker.roles.reader]\n"
	}
	for _, pattern := range slices.Sorted(maps.Keys(b.Roles.Reader)) {
		roles += fmt.Sprintf("%q = %q\n", pattern, strings.Join(b.Roles.Reader[pattern], ", "))
	}
	return lines.String(), roles
}

// quotedList returns a list of texts as a file has it.
func quotedList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = fmt.Sprintf("%q", text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
