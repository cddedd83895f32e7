package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (p *program) manualCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "manual [appliance.toml]",
		Short: "Print the manual page of muster, or of its configuration file",
		Long: `Print the manual page muster(1), or appliance.toml(5), as man reads it. Packages have both;
they are made from what the program itself goes by.`,
		Example: `  muster manual | man -l -
  muster manual appliance.toml > /usr/local/share/man/man5/appliance.toml.5`,
		ValidArgs: []string{"appliance.toml"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "appliance.toml" {
				return errors.New("there are two pages: muster manual, and muster manual appliance.toml")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			page := programPage(cmd.Root())
			if len(args) == 1 {
				page = configPage()
			}
			_, err := p.out.Write(md2man.Render([]byte(page)))
			return err
		},
	}
}

const programPageEnd = `# EXIT STATUS
0
: it went well; for **muster check health** and **muster check host** OK, and 1 WARNING, 2 CRITICAL, 3 UNKNOWN

1
: it failed, and standard error says at what

2
: the command line cannot be understood

78
: the configuration is wrong, and every problem is named; systemd does not start it again

# ENVIRONMENT
**GOMEMLIMIT**, **GOGC**
: have the last word over what the appliance does about its memory

**CREDENTIALS_DIRECTORY**
: where systemd has put what *credential:NAME* in the configuration names

**NOTIFY_SOCKET**, **WATCHDOG_USEC**
: how systemd hears that it is ready, and alive

**CHORIA_EXTERNAL_REQUEST**, **CHORIA_EXTERNAL_REPLY**
: the files of **muster discover**, where they are no arguments

# FILES
*/etc/muster/appliance.toml*
: the configuration of an appliance that is installed

*/var/lib/muster*
: its data

# SEE ALSO
**appliance.toml**(5)
`

// programPage is muster(1), in Markdown.
func programPage(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%% MUSTER 1 \"\" \"muster %s\" \"Muster\"\n\n", version())
	fmt.Fprintf(&b, "# NAME\nmuster - a collection point for Choria fleets\n\n# SYNOPSIS\n**muster** *COMMAND* [*FLAG*...]\n\n# DESCRIPTION\n%s\n\n# COMMANDS\n", root.Long)
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		if cmd != root && cmd.Runnable() {
			commandSection(&b, cmd)
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "completion" {
				each(sub)
			}
		}
	}
	each(root)
	return b.String() + programPageEnd
}

func commandSection(b *strings.Builder, cmd *cobra.Command) {
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	fmt.Fprintf(b, "## %s\n%s\n\n", markdown(cmd.UseLine()), markdown(about))
	cmd.NonInheritedFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden || flag.Name == "help" {
			return
		}
		kind, _ := pflag.UnquoteUsage(flag)
		fmt.Fprintf(b, "**--%s**", flag.Name)
		if kind != "" {
			fmt.Fprintf(b, " *%s*", strings.ToUpper(kind))
		}
		fmt.Fprintf(b, "\n: %s", markdown(flag.Usage))
		if d := flag.DefValue; d != "" && d != "false" && d != "[]" && d != "0" && d != "0s" {
			fmt.Fprintf(b, "; by itself %s", markdown(d))
		}
		b.WriteString("\n\n")
	})
	fmt.Fprintf(b, "Examples:\n\n```\n%s\n```\n\n", cmd.Example)
}

// configPage is appliance.toml(5), in Markdown.
func configPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%% APPLIANCE.TOML 5 \"\" \"muster %s\" \"Muster\"\n\n", version())
	b.WriteString(`# NAME
appliance.toml - the configuration of a Muster appliance

# DESCRIPTION
A file in TOML. Every key has a default; with all of them an appliance is a lab on loopback.
Durations carry a unit (90s, 5m, 7d), sizes too (64KiB, 20GiB). A secret may be *file:PATH*,
and a secret or a path *credential:NAME*, for a file that systemd hands over with
LoadCredential=; that of the packages hands over the files in /etc/muster/credentials.

**muster check --config** *FILE* says what is wrong with a file, all of it, line by line.

A stream, bucket or adapter named like a default one changes that; another name adds one, and
*enabled = false* takes one away.

# KEYS
`)
	defaults := appliance.DefaultConfig()
	defaults.DataDir = appliance.InstalledDir // as with any file
	for _, section := range config.Sections(defaults) {
		if section.Path != "" {
			fmt.Fprintf(&b, "## [%s]\n%s.\n\n", section.Path, markdown(strings.ToUpper(section.Help[:1])+section.Help[1:]))
		}
		for _, key := range section.Keys {
			fmt.Fprintf(&b, "**%s** = %s\n: %s\n\n", markdown(key.Name), markdown(key.Value.String()), markdown(key.Help))
		}
	}
	b.WriteString("# FILES\n*/etc/muster/appliance.toml*\n: where the packages have it\n\n*/usr/share/doc/muster/examples/appliance.toml*\n: every key with its default and what it is for\n\n# SEE ALSO\n**muster**(1)\n")
	return b.String()
}

// markdown is text of which nothing means anything in Markdown.
func markdown(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`", "<", `\<`, "[", `\[`, "]", `\]`).Replace(text)
}
