package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/brokerconf"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/replicatorconf"
	"github.com/muster-appliance/muster/internal/translate"
	"github.com/spf13/cobra"
)

const importHelp = `Read the configuration of a Choria broker, with the files of plugin.d beside it, and
print an appliance.toml that does the same. Each setting that has no equivalent is listed
with the reason, in a comment at the end and on standard error. The list begins with what
matters most:

  LOSS     something that works with Choria's broker stops working, such as a cluster
  CAUTION  Choria does not do what the setting's name suggests, or you must change the
           file before you run an appliance with it

If there is a LOSS, the exit status is 3, unless --accept-losses is given. The
appliance.toml is printed in both cases. No file is changed.

With --replicator, FILE is the configuration of the Stream Replicator. What is printed is
for the appliance that has the streams, the edge: copy it into the appliance.toml there.`

func (p *program) importCommand() *cobra.Command {
	var acceptLosses, replicator bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Convert the configuration of a Choria broker, or of the Stream Replicator",
		Long:  importHelp,
		Example: `  muster import /etc/choria/broker.conf > appliance.toml
  muster import --replicator /etc/stream-replicator/sr.yaml > forward.toml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("name one file, for example: muster import /etc/choria/broker.conf")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			read := readBroker
			if replicator {
				read = readReplicator
			}
			text, remarks, err := read(args[0])
			if err != nil {
				return err
			}
			return p.printImport(text, remarks, acceptLosses)
		},
	}
	cmd.Flags().BoolVar(&acceptLosses, "accept-losses", false, "exit with status 0 although there is a LOSS")
	cmd.Flags().BoolVar(&replicator, "replicator", false, "FILE is the configuration of the Stream Replicator")
	return cmd
}

// readBroker translates the configuration of a Choria broker.
func readBroker(path string) (text string, remarks []translate.Remark, err error) {
	file, err := brokerconf.Read(path)
	if err != nil {
		return "", nil, unreadable(err)
	}
	defaults, _ := appliance.Parse("", nil) // the defaults are valid
	text, remarks = file.Translate(defaults.Identity)
	return text, remarks, nil
}

// readReplicator translates the configuration of the Stream Replicator.
func readReplicator(path string) (text string, remarks []translate.Remark, err error) {
	file, err := replicatorconf.Read(path)
	if err != nil {
		return "", nil, unreadable(err)
	}
	defaults, _ := appliance.Parse("", nil) // the defaults are valid
	text, remarks = file.Translate(slices.Collect(maps.Keys(defaults.DeclaredStreams().Streams)))
	return text, remarks, nil
}

// unreadable returns an error without the name of the system call.
func unreadable(err error) error {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		return fmt.Errorf("%s: %w", cause.Path, cause.Err)
	}
	return err
}

// printImport prints what was translated, after it is made to pass the check.
func (p *program) printImport(text string, remarks []translate.Remark, acceptLosses bool) error {
	text, repairs := repair(text)
	remarks = append(repairs, remarks...)
	slices.SortStableFunc(remarks, func(a, b translate.Remark) int { return cmp.Compare(b.Class, a.Class) })
	losses := 0
	for _, remark := range remarks {
		fmt.Fprintln(p.err, remark)
		if remark.Class == translate.Loss {
			losses++
		}
	}
	if _, err := fmt.Fprint(p.out, text); err != nil || losses == 0 || acceptLosses {
		return err
	}
	fmt.Fprintf(p.err, "muster: remarks with LOSS: %d; --accept-losses accepts them\n", losses)
	return silentError{statusLosses}
}

// lostTables begin the keys without which something that works with Choria's broker stops working.
var lostTables = []string{"broker.mappings", "broker.websocket", "broker.leafnodes", "broker.provisioning"}

// maxRepairs limits how many lines of an imported configuration are commented out.
const maxRepairs = 100

// repair comments out the lines that an appliance would refuse, one at a time, and writes the
// reason above each: a broker's configuration may name files that do not exist here, or contain
// mistakes of its own. A problem that no line causes stays, with a remark at the top of the file.
func repair(text string) (string, []translate.Remark) {
	var remarks []translate.Remark
	for range maxRepairs {
		_, err := appliance.Parse("appliance.toml", []byte(text))
		var problems config.Problems
		if !errors.As(err, &problems) {
			break
		}
		lines := strings.Split(text, "\n")
		problem, found := firstWithLine(problems, lines)
		if !found {
			left := unrepaired(problems)
			return insertRemarks(lines, left), append(remarks, left...)
		}
		remark := translate.Remark{Key: problem.Key, Class: translate.Caution, Reason: "left out: " + problem.Text}
		if slices.ContainsFunc(lostTables, func(table string) bool { return strings.HasPrefix(problem.Key, table) }) {
			remark.Class = translate.Loss
		}
		adapter := adapterName(problem.Key)
		if adapter != "" {
			remark.Reason += "; so the adapter is disabled"
		}
		remarks = append(remarks, remark)
		text = disableAdapter(commentOut(lines, problem.Line-1, remark), adapter)
	}
	return text, remarks
}

// firstWithLine returns the first problem of a line that sets a key, because such a problem often
// causes those of whole tables. Without one it returns the first problem that has a line. A
// problem has no line if a default value causes it.
func firstWithLine(problems config.Problems, lines []string) (config.Problem, bool) {
	at := slices.IndexFunc(problems, func(p config.Problem) bool {
		return p.Line > 0 && strings.Contains(lines[p.Line-1], " = ")
	})
	if at < 0 {
		at = slices.IndexFunc(problems, func(p config.Problem) bool { return p.Line > 0 })
	}
	if at < 0 {
		return config.Problem{}, false
	}
	return problems[at], true
}

// unrepaired returns a remark for each problem that the operator has to solve.
func unrepaired(problems config.Problems) []translate.Remark {
	remarks := make([]translate.Remark, len(problems))
	for i, problem := range problems {
		remarks[i] = translate.Remark{
			Key: problem.Key, Class: translate.Caution,
			Reason: problem.Text + "; change this before you run an appliance with this file",
		}
	}
	return remarks
}

// insertRemarks returns the text with the remarks below the comment that it begins with.
func insertRemarks(lines []string, remarks []translate.Remark) string {
	at := max(0, slices.IndexFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "#") }))
	comments := make([]string, len(remarks))
	for i, remark := range remarks {
		comments[i] = "# " + remark.String()
	}
	return strings.Join(slices.Insert(lines, at, comments...), "\n")
}

// commentOut returns the text with one line, or the whole table whose header that line is, turned
// into a comment below the remark.
func commentOut(lines []string, at int, remark translate.Remark) string {
	end := at + 1
	for strings.HasPrefix(lines[at], "[") && end < len(lines) && lines[end] != "" {
		end++
	}
	for i := at; i < end; i++ {
		if !strings.HasPrefix(lines[i], "#") {
			lines[i] = "# " + lines[i]
		}
	}
	lines[at] = "# " + remark.String() + "\n" + lines[at]
	return strings.Join(lines, "\n")
}

// adapterName returns the adapter that a dotted key configures, or the empty string.
func adapterName(key string) string {
	if parts := strings.Split(key, "."); len(parts) > 2 && parts[0] == "adapter" {
		return parts[1]
	}
	return ""
}

// disableAdapter returns the text with that adapter disabled: with a setting missing it would not
// do what the broker's adapter does. An empty name changes nothing.
func disableAdapter(text, adapter string) string {
	header := "\n[adapter." + adapter + "]\n"
	if adapter == "" || strings.Contains(text, header+"enabled = false\n") {
		return text
	}
	return strings.Replace(text, header, header+"enabled = false\n", 1)
}
