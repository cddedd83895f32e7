package monitoring

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Formats returns the formats that Write knows.
func Formats() []string { return []string{"nagios", "json", "prometheus", "text"} }

// Write writes the result of the named check in one of Formats. Any other format is text.
func (r *Result) Write(w io.Writer, format, name string) error {
	switch format {
	case "nagios":
		return r.writeNagios(w, name)
	case "json":
		return json.NewEncoder(w).Encode(struct {
			Check  string `json:"check"`
			Status string `json:"status"`
			Items  []Item `json:"items"`
		}{name, r.Status().String(), r.Items})
	case "prometheus":
		return r.writePrometheus(w, name)
	default:
		return r.writeText(w, name)
	}
}

// writeNagios writes one line: the texts, worst first, then a bar and the performance data.
func (r *Result) writeNagios(w io.Writer, name string) error {
	items := slices.Clone(r.Items)
	slices.SortStableFunc(items, func(a, b Item) int { return b.Status.severity() - a.Status.severity() })
	var texts, performance []string
	for _, i := range items {
		texts = append(texts, singleLine(i.Text))
	}
	for _, i := range r.Items {
		if i.Value != nil {
			performance = append(performance, i.performanceData())
		}
	}
	line := strings.ToUpper(name) + " " + r.Status().String() + " " + strings.Join(texts, "; ")
	if len(performance) > 0 {
		line += " | " + strings.Join(performance, " ")
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// singleLine replaces the characters that would end the text in a plugin's output.
func singleLine(text string) string { return strings.NewReplacer("|", "/", "\n", " ").Replace(text) }

// performanceData returns name=value;warning;critical. A limit with a colon, such as 5:, means that
// values below it are bad.
func (i Item) performanceData() string {
	text := i.Name + "=" + formatNumber(*i.Value)
	if !i.hasThresholds {
		return text
	}
	colon := ""
	if i.lowIsBad {
		colon = ":"
	}
	return text + ";" + formatNumber(i.Warning) + colon + ";" + formatNumber(i.Critical) + colon
}

func formatNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// writePrometheus writes metrics for the textfile collector of the node exporter.
func (r *Result) writePrometheus(w io.Writer, name string) error {
	var b strings.Builder
	gauge := func(metric, help string) { fmt.Fprintf(&b, "# HELP %[1]s %[2]s\n# TYPE %[1]s gauge\n", metric, help) }
	gauge("muster_check_status", "0 ok, 1 warning, 2 critical, 3 unknown.")
	fmt.Fprintf(&b, "muster_check_status{check=%q} %d\n", name, r.Status())
	gauge("muster_check_item_status", "The status of each item: 0 ok, 1 warning, 2 critical, 3 unknown.")
	for at, i := range r.Items {
		first := slices.IndexFunc(r.Items, func(other Item) bool { return other.Name == i.Name })
		if at == first { // the same labels twice would make the whole text invalid
			fmt.Fprintf(&b, "muster_check_item_status{check=%q,item=%q} %d\n", name, i.Name, r.worstStatus(i.Name))
		}
	}
	gauge("muster_check_value", "The value of each measurement.")
	for _, i := range r.Items {
		if i.Value != nil {
			fmt.Fprintf(&b, "muster_check_value{check=%q,item=%q} %s\n", name, i.Name, formatNumber(*i.Value))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// worstStatus returns the worst status of the items with that name.
func (r *Result) worstStatus(name string) Status {
	var named Result
	for _, i := range r.Items {
		if i.Name == name {
			named.Items = append(named.Items, i)
		}
	}
	return named.Status()
}

// writeText writes one line for each item, for people to read.
func (r *Result) writeText(w io.Writer, name string) error {
	text := fmt.Sprintf("%s: %s\n", name, r.Status())
	for _, i := range r.Items {
		text += fmt.Sprintf("  %-8s  %s\n", i.Word, singleLine(i.Text))
	}
	_, err := io.WriteString(w, text)
	return err
}
