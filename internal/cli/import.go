package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/brokerconf"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/spf13/cobra"
)

func (p *program) importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import BROKER.CONF",
		Short: "Write the appliance.toml that does what a Choria broker's configuration says",
		Long: `Read the configuration of a Choria broker, with plugin.d beside it, and print an
appliance.toml that does the same. What has no place in that is at its end as a comment,
with the reason, and on standard error. Look at the lines that begin with CAUTION: there
Choria does something else than it seems. Nothing is changed.`,
		Example: `  muster import /etc/choria/broker.conf > appliance.toml
  muster import /etc/choria/broker.conf | muster check --config /dev/stdin`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("name one file, such as muster import /etc/choria/broker.conf")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return p.importBroker(args[0]) },
	}
}

func (p *program) importBroker(path string) error {
	file, err := brokerconf.Read(path)
	var cause *fs.PathError
	if errors.As(err, &cause) {
		return fmt.Errorf("%s: %w", cause.Path, cause.Err)
	}
	if err != nil {
		return err
	}
	here, _ := appliance.Parse("", nil) // the defaults are valid
	text, remarks := file.Translate(here.Identity)
	text, more := usable(text)
	for _, remark := range append(more, remarks...) {
		fmt.Fprintln(p.err, remark)
	}
	_, err = fmt.Fprint(p.out, text)
	return err
}

// mostRepairs is how many lines of an import may be left out.
const mostRepairs = 100

// usable leaves out, line by line, what an appliance would refuse, and says so in its place: a
// broker's configuration may name what is not here, or be wrong itself.
func usable(text string) (string, []brokerconf.Remark) {
	var left []brokerconf.Remark
	for range mostRepairs {
		_, err := appliance.Parse("appliance.toml", []byte(text))
		var problems config.Problems
		if !errors.As(err, &problems) {
			break
		}
		lines := strings.Split(text, "\n")
		problem := problems[0]
		for _, other := range problems { // one about a key, before those that follow from it
			if strings.Contains(lines[other.Line-1], " = ") {
				problem = other
				break
			}
		}
		remark := brokerconf.Remark{Key: problem.Key, Danger: true, Reason: "left out: " + problem.Text}
		if adapterOf(problem.Key) != "" {
			remark.Reason += "; so the adapter is switched off"
		}
		left = append(left, remark)
		text = switchedOff(without(lines, problem.Line-1, remark), adapterOf(problem.Key))
	}
	return text, left
}

// without is the text without a line, or a table, and with a remark in its place.
func without(lines []string, at int, remark brokerconf.Remark) string {
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

// adapterOf is the adapter that a key is of, or empty.
func adapterOf(key string) string {
	if parts := strings.Split(key, "."); len(parts) > 2 && parts[0] == "adapter" {
		return parts[1]
	}
	return ""
}

// switchedOff is the text with that adapter switched off: it does nothing right by halves.
func switchedOff(text, adapter string) string {
	header := "\n[adapter." + adapter + "]\n"
	if adapter == "" || strings.Contains(text, header+"enabled = false\n") {
		return text
	}
	return strings.Replace(text, header, header+"enabled = false\n", 1)
}
