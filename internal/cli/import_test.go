package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/enroll"
)

// certificates creates the certificates and keys that the configurations in testdata/import name.
func certificates(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	site, err := enroll.Init(enroll.Options{
		Dir: filepath.Join(dir, "site"), Name: "choria1.example.net", Listen: "0.0.0.0:4222",
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := site.Files()
	copies := map[string][]string{
		files.Cert: {"cert.pem"}, files.Key: {"key.pem"}, files.CA: {"ca.pem", "ssl/certs/ca.pem"},
		site.CRL(): {"ssl/crl.pem"},
	}
	for _, host := range []string{"choria1", "edge1", "fed1"} {
		copies[files.Cert] = append(copies[files.Cert], "ssl/certs/"+host+".example.net.pem")
		copies[files.Key] = append(copies[files.Key], "ssl/private_keys/"+host+".example.net.pem")
	}
	write(t, filepath.Join(dir, "signer.public"), strings.Repeat("ab", 32)+"\n")
	for from, names := range copies {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			write(t, filepath.Join(dir, name), string(text))
		}
	}
	return dir
}

// write writes a file, and creates its directory if needed.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyBroker copies a broker's configuration and its plugin.d to a directory below dir, with dir in
// the place of @DIR@.
func copyBroker(t *testing.T, conf, dir string) (copied string) {
	t.Helper()
	source := filepath.Dir(conf)
	target := filepath.Join(dir, filepath.Base(source))
	plugins, _ := filepath.Glob(filepath.Join(source, "plugin.d", "*.cfg"))
	for _, file := range append(plugins, conf) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		relative, _ := filepath.Rel(source, file)
		write(t, filepath.Join(target, relative), strings.ReplaceAll(string(text), "@DIR@", dir))
	}
	return filepath.Join(target, "broker.conf")
}

func TestImport_OutputMatchesGoldenFileAndPassesCheck(t *testing.T) {
	dir := certificates(t)
	confs, err := filepath.Glob("testdata/import/*/broker.conf")
	if err != nil || len(confs) < 12 {
		t.Fatalf("%d configurations, %v", len(confs), err)
	}
	passwords := []string{
		"peersecret", "leafsecret", "hostsecret", "natssecret", "pinsecret", "keysecret",
	}
	for _, conf := range confs {
		name := filepath.Base(filepath.Dir(conf))
		t.Run(name, func(t *testing.T) {
			copied := copyBroker(t, conf, dir)
			out, errOut := checkImport(t, filepath.Join("import", name), dir, copied)
			for _, password := range passwords {
				if strings.Contains(out+errOut, password) {
					t.Errorf("the password %s is shown", password)
				}
			}
			if strings.Contains(errOut, "provsecret") { // the file needs it
				t.Error("the password of the provisioner is shown")
			}
		})
	}
}

// checkImport imports a file below dir with the arguments, compares what is printed with the golden files in the
// directory of testdata, and returns it.
func checkImport(t *testing.T, golden, dir string, args ...string) (out, errOut string) {
	t.Helper()
	status, out, errOut := muster(t, append([]string{"import", "--accept-losses"}, args...)...)
	if status != 0 {
		t.Errorf("%d %s", status, errOut)
	}
	checkLosses(t, args, out, errOut)
	config := filepath.Join(t.TempDir(), "appliance.toml")
	write(t, config, out)
	if status, _, problems := muster(t, "check", "--config", config); status != 0 {
		t.Errorf("it does not pass the check: %s\n%s", problems, out)
	}
	compare(t, filepath.Join(golden, "appliance.toml"), strings.ReplaceAll(out, dir, "@DIR@"))
	compare(t, filepath.Join(golden, "remarks.txt"), strings.ReplaceAll(errOut, dir, "@DIR@"))
	for _, line := range strings.Split(strings.TrimSpace(errOut), "\n") {
		if line != "" && !strings.Contains(out, "\n# "+line+"\n") {
			t.Errorf("the file does not contain the remark %q", line)
		}
	}
	return out, errOut
}

func TestImport_OfReplicatorMatchesGoldenFileAndPassesCheck(t *testing.T) {
	dir := certificates(t)
	write(t, filepath.Join(dir, "sr.jwt"), "x.y.z")
	write(t, filepath.Join(dir, "sr.seed"), strings.Repeat("00", 32))
	files, err := filepath.Glob("testdata/replicator/*/sr.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d configurations, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(dir, name, "sr.yaml")
			write(t, copied, strings.ReplaceAll(string(text), "@DIR@", dir))
			_, errOut := checkImport(t, filepath.Join("replicator", name), dir, "--replicator", copied)
			if strings.Contains(errOut, "targetsecret") {
				t.Error("the password is shown")
			}
		})
	}
}

// checkLosses checks that the import of a configuration lists the losses first and that, without
// --accept-losses, it prints the same and its exit status says whether there is one.
func checkLosses(t *testing.T, args []string, out, errOut string) {
	t.Helper()
	losses := 0
	for at, line := range strings.Split(errOut, "\n") {
		if !strings.HasPrefix(line, "LOSS ") {
			continue
		}
		if losses++; at+1 != losses {
			t.Errorf("%q is line %d of the remarks, below one that is not a LOSS", line, at+1)
		}
	}
	wantStatus, last := statusOK, ""
	if losses > 0 {
		wantStatus = statusLosses
		last = fmt.Sprintf("muster: remarks with LOSS: %d; --accept-losses accepts them\n", losses)
	}
	status, sameOut, sameErr := muster(t, append([]string{"import"}, args...)...)
	if status != wantStatus || sameOut != out || sameErr != errOut+last {
		t.Errorf("without --accept-losses: status %d, want %d; standard error:\n%s", status, wantStatus, sameErr)
	}
}

func TestImport_ListsEachLossFirst(t *testing.T) {
	const conf = "plugin.choria.network."
	for name, test := range map[string]struct{ conf, key string }{
		"provisioning": {conf + "provisioning.client_password = x\n", "broker.provisioning.signer_cert"},
		"peers":        {conf + "peers = nats://a:5222\n" + conf + "peer_port = 5222\n", conf + "peers = nats://a:5222"},
		"peers by SRV": {conf + "peer_port = 5222\n", conf + "peer_port = 5222"},
		"gateways":     {conf + "gateway_port = 7222\n" + conf + "gateway_remotes = LON\n", conf + "gateway_remotes = LON"},
		"leaf nodes":   {conf + "leafnode_port = 7422\n", conf + "leafnode_port = 7422"},
		"leaf node": {conf + "leafnode_remotes = hub\n" + conf + "leafnode_remote.hub.url = hub:7422\n" +
			conf + "leafnode_remote.hub.account = system\n", conf + "leafnode_remote.hub.account = system"},
		"federation": {"plugin.choria.broker_federation = true\n", "plugin.choria.broker_federation = true"},
		"mappings": {conf + "mapping.names = m\n" + conf + "mapping.m.source = in.x\n" +
			conf + "mapping.m.destination = muster.x\n", "broker.mappings.in.x"},
		"scraping": {"plugin.choria.stats_port = 8222\nplugin.choria.stats_address = ::\n",
			"plugin.choria.stats_address = ::"},
		"no federation": {"plugin.choria.broker_federation = false\n", ""},
		"websockets":    {conf + "websocket_port = 4333\n", ""},
		"no websockets": {conf + "websocket_port = 0\n", ""},
		"no leaf node":  {conf + "leafnode_remotes = hub\n", ""},
		"no mappings":   {conf + "mapping.names = m\n", ""},
		"no leaf nodes": {conf + "leafnode_port = 0\n", ""},
		"scraping here": {"plugin.choria.stats_port = 8222\nplugin.choria.stats_address = ::1\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "broker.conf")
			write(t, file, "identity = a.example.net\n"+test.conf)
			status, out, errOut := muster(t, "import", file)
			if test.key == "" {
				if status != 0 || strings.Contains(errOut, "LOSS") {
					t.Errorf("status %d, standard error:\n%s", status, errOut)
				}
				return
			}
			if status != statusLosses || !strings.HasPrefix(errOut, "LOSS "+test.key+": ") ||
				strings.Count(errOut, "LOSS ") != 1 || !strings.Contains(out, "\n# LOSS "+test.key+": ") {
				t.Errorf("status %d, standard error:\n%s", status, errOut)
			}
		})
	}
}

func TestImport_ReportsWhatItCannotRead(t *testing.T) {
	for name, args := range map[string][]string{
		"no argument": {"import"}, "empty argument": {"import", ""}, "two arguments": {"import", "a", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, errOut := muster(t, args...)
			if status != 2 || !strings.Contains(errOut, "name one file, for example") {
				t.Errorf("%d %s", status, errOut)
			}
		})
	}
	t.Run("no such file", func(t *testing.T) {
		status, _, errOut := muster(t, "import", "/nowhere/broker.conf")
		if status != 1 || errOut != "muster: /nowhere/broker.conf: no such file or directory\n" {
			t.Errorf("%d %s", status, errOut)
		}
	})
}

func TestImport_ReportsProblemsThatHaveNoLine(t *testing.T) {
	const tls = "plugin.security.provider = file\n" +
		"plugin.security.file.certificate = @DIR@/cert.pem\nplugin.security.file.key = @DIR@/key.pem\n"
	nineAdapters := "plugin.choria.adapters = a1, a2, a3, a4, a5, a6, a7, a8, a9\n"
	for i := range 9 {
		nineAdapters += fmt.Sprintf("plugin.choria.adapter.a%[1]d.type = jetstream\n"+
			"plugin.choria.adapter.a%[1]d.ingest.topic = in.a%[1]d\n"+
			"plugin.choria.adapter.a%[1]d.stream.topic = out.a%[1]d\n", i+1)
	}
	tests := map[string]struct{ conf, key, text string }{
		"broker and console on one address": {
			conf: "plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 8222\n",
			key:  "console.listen", text: `"127.0.0.1:8222" is`,
		},
		"streams larger than max_storage": {conf: nineAdapters, key: "jetstream.max_storage", text: "20GiB is less than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := certificates(t)
			conf := filepath.Join(dir, "broker.conf")
			write(t, conf, strings.ReplaceAll(tls+test.conf, "@DIR@", dir))
			status, out, errOut := muster(t, "import", conf)
			remark := regexp.MustCompile(`(?m)^CAUTION ` + regexp.QuoteMeta(test.key+": "+test.text) +
				`.*; change this before you run an appliance with this file$`).FindString(errOut)
			if status != 0 || remark == "" {
				t.Fatalf("status %d, standard error:\n%s", status, errOut)
			}
			if !strings.Contains(out, "\n# "+remark+"\n") {
				t.Errorf("the file does not contain the remark %q:\n%s", remark, out)
			}
			file := filepath.Join(dir, "appliance.toml")
			write(t, file, out)
			status, _, problems := muster(t, "check", "--config", file)
			if status != statusConfig || strings.Count(problems, "\n") != 1 ||
				!strings.Contains(problems, test.key+": "+test.text) {
				t.Errorf("check of the file: status %d, want only the problem of %s:\n%s", status, test.key, problems)
			}
		})
	}
}
