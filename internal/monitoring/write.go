package monitoring

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Formats are how a result can be written.
var Formats = []string{"nagios", "json", "prometheus", "text"}

// Write writes the result of the check of that name.
func (r *Result) Write(w io.Writer, format, name string) error {
	switch format {
	case "nagios":
		return r.nagios(w, name)
	case "json":
		return json.NewEncoder(w).Encode(struct {
			Check  string `json:"check"`
			Status string `json:"status"`
			Items  []Item `json:"items"`
		}{name, r.Status().String(), r.Items})
	case "prometheus":
		return r.prometheus(w, name)
	default:
		return r.text(w, name)
	}
}

// nagios is one line, what is wrong first, and the figures behind a bar.
func (r *Result) nagios(w io.Writer, name string) error {
	items := slices.Clone(r.Items)
	slices.SortStableFunc(items, func(a, b Item) int { return worse[b.Status] - worse[a.Status] })
	var texts, figures []string
	for _, i := range items {
		texts = append(texts, plain(i.Text))
	}
	for _, i := range r.Items {
		if i.Value != nil {
			figures = append(figures, i.figure())
		}
	}
	line := strings.ToUpper(name) + " " + r.Status().String() + " " + strings.Join(texts, "; ")
	if len(figures) > 0 {
		line += " | " + strings.Join(figures, " ")
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// plain is text without what ends it, in that format.
func plain(text string) string { return strings.NewReplacer("|", "/", "\n", " ").Replace(text) }

// figure is name=value;warning;critical, where 5: is wrong below 5.
func (i Item) figure() string {
	text := i.Name + "=" + number(*i.Value)
	if !i.set {
		return text
	}
	colon := ""
	if i.fewer {
		colon = ":"
	}
	return text + ";" + number(i.Warning) + colon + ";" + number(i.Critical) + colon
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// prometheus is for the text file collector of the node exporter.
func (r *Result) prometheus(w io.Writer, name string) error {
	text := fmt.Sprintf("# HELP muster_check_status 0 ok, 1 warning, 2 critical, 3 unknown.\n# TYPE muster_check_status gauge\nmuster_check_status{check=%q} %d\n", name, r.Status())
	text += "# HELP muster_check_item_status The same of each thing that was looked at.\n# TYPE muster_check_item_status gauge\n"
	for at, i := range r.Items {
		if slices.IndexFunc(r.Items, func(other Item) bool { return other.Name == i.Name }) == at { // a label twice is no text that can be read
			text += fmt.Sprintf("muster_check_item_status{check=%q,item=%q} %d\n", name, i.Name, r.worst(i.Name))
		}
	}
	text += "# HELP muster_check_value The figures that were judged.\n# TYPE muster_check_value gauge\n"
	for _, i := range r.Items {
		if i.Value != nil {
			text += fmt.Sprintf("muster_check_value{check=%q,item=%q} %s\n", name, i.Name, number(*i.Value))
		}
	}
	_, err := io.WriteString(w, text)
	return err
}

// worst is that of the items of a name.
func (r *Result) worst(name string) Status {
	var of Result
	for _, i := range r.Items {
		if i.Name == name {
			of.Items = append(of.Items, i)
		}
	}
	return of.Status()
}

// text is for people: a line each.
func (r *Result) text(w io.Writer, name string) error {
	text := fmt.Sprintf("%s: %s\n", name, r.Status())
	for _, i := range r.Items {
		text += fmt.Sprintf("  %-8s  %s\n", i.Word, plain(i.Text))
	}
	_, err := io.WriteString(w, text)
	return err
}
