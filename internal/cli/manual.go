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
		Short: "Print the manual page of muster or of its configuration file",
		Long: `Print the manual page muster(1) or appliance.toml(5) in the format of man. Both are made
from the same tables as the help texts and the configuration, and packages install them.`,
		Example: `  muster manual | man -l -
  muster manual appliance.toml > /usr/local/share/man/man5/appliance.toml.5`,
		ValidArgs: []string{"appliance.toml"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "appliance.toml" {
				return errors.New("there are two pages: print them with muster manual and muster manual appliance.toml")
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

// programPageEnd follows the sections of the commands.
const programPageEnd = `# EXIT STATUS
0
: success. **muster check health** and **muster check host** exit as monitoring plugins do:
0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN

1
: failure; standard error has the reason

2
: the command line is not valid

3
: **muster import** without **--accept-losses**: something that works with Choria's broker stops working

78
: the configuration is not valid; standard error has every problem. systemd does not restart the
service

# ENVIRONMENT
**GOMEMLIMIT**, **GOGC**
: override the limits that the appliance sets for Go's garbage collector

**CREDENTIALS_DIRECTORY**
: directory of the files that *credential:NAME* in the configuration refers to; set by systemd

**NOTIFY_SOCKET**, **WATCHDOG_USEC**
: how to notify systemd that the appliance is ready and alive; set by systemd

**CHORIA_EXTERNAL_REQUEST**, **CHORIA_EXTERNAL_REPLY**
: the request and reply files of **muster discover**, unless they are arguments; set by Choria

# FILES
*/etc/muster/appliance.toml*
: configuration of an installed appliance

*/var/lib/muster*
: data of an installed appliance

# SEE ALSO
**appliance.toml**(5)
`

// programPageStart is a format for the version and the description of the program.
const programPageStart = `%% MUSTER 1 "" "muster %s" "Muster"

# NAME
muster - collect the registrations of a Choria fleet

# SYNOPSIS
**muster** *COMMAND* [*FLAG*...]

# DESCRIPTION
%s

# COMMANDS
`

// programPage returns muster(1) in Markdown.
func programPage(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, programPageStart, version(), root.Long)
	var addSections func(*cobra.Command)
	addSections = func(cmd *cobra.Command) {
		if cmd != root && cmd.Runnable() {
			writeCommandSection(&b, cmd)
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "completion" {
				addSections(sub)
			}
		}
	}
	addSections(root)
	return b.String() + programPageEnd
}

// writeCommandSection writes the section of one command: description, flags and examples.
func writeCommandSection(b *strings.Builder, cmd *cobra.Command) {
	description := cmd.Long
	if description == "" {
		description = cmd.Short + "."
	}
	fmt.Fprintf(b, "## %s\n%s\n\n", escapeMarkdown(cmd.UseLine()), escapeMarkdown(description))
	cmd.NonInheritedFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden || flag.Name == "help" {
			return
		}
		kind, _ := pflag.UnquoteUsage(flag)
		fmt.Fprintf(b, "**--%s**", flag.Name)
		if kind != "" {
			fmt.Fprintf(b, " *%s*", strings.ToUpper(kind))
		}
		fmt.Fprintf(b, "\n: %s", escapeMarkdown(flag.Usage))
		if d := flag.DefValue; d != "" && d != "false" && d != "[]" && d != "0" && d != "0s" {
			fmt.Fprintf(b, "; default: %s", escapeMarkdown(d))
		}
		b.WriteString("\n\n")
	})
	fmt.Fprintf(b, "Examples:\n\n```\n%s\n```\n\n", cmd.Example)
}

// configPageStart is a format for the version.
const configPageStart = `%% APPLIANCE.TOML 5 "" "muster %s" "Muster"

# NAME
appliance.toml - configuration of a Muster appliance

# DESCRIPTION
A TOML file. Every key has a default. With the defaults alone, an appliance is a lab on loopback.
Durations and sizes have a unit: 90s, 5m, 7d; 64KiB, 20GiB. A secret may be *file:PATH*. A secret or
a path may be *credential:NAME*, a file that systemd passes to the service with LoadCredential=; the
unit of the packages passes the files in /etc/muster/credentials.

**muster check --config** *FILE* prints every problem of a file with its line.

A table [stream.NAME], [bucket.NAME] or [adapter.NAME] with the name of a default one changes the
keys that it sets; another name adds a stream, bucket or adapter. *enabled = false* removes one.

# KEYS
`

const configPageEnd = `# FILES
*/etc/muster/appliance.toml*
: configuration of an appliance that was installed from a package

*/usr/share/doc/muster/examples/appliance.toml*
: every key with its default and a description

# SEE ALSO
**muster**(1)
`

// configPage returns appliance.toml(5) in Markdown.
func configPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, configPageStart, version())
	defaults := appliance.DefaultConfig()
	defaults.DataDir = appliance.InstalledDir // the default with a configuration file
	for _, section := range config.Sections(defaults) {
		if section.Path != "" {
			help := strings.ToUpper(section.Help[:1]) + section.Help[1:]
			fmt.Fprintf(&b, "## [%s]\n%s.\n\n", section.Path, escapeMarkdown(help))
		}
		for _, key := range section.Keys {
			fmt.Fprintf(&b, "**%s** = %s\n: %s\n\n",
				escapeMarkdown(key.Name), escapeMarkdown(key.Value.String()), escapeMarkdown(key.Help))
		}
	}
	return b.String() + configPageEnd
}

// escapeMarkdown escapes the characters that have a meaning in Markdown.
func escapeMarkdown(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`",
		"<", `\<`, "[", `\[`, "]", `\]`).Replace(text)
}
