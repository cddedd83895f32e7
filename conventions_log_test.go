package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// forwards lists files that may log text of others: the broker forwards the NATS server's log.
var forwards = []string{"broker/log.go"}

// logCall is one call of a logger.
type logCall struct {
	position string
	level    string // Trace to Error
	message  string // empty if it is not constant
	keys     []string
	problems []string // keys that are not constant
}

// logCalls returns the calls of hclog's loggers in a file.
func logCalls(t *testing.T, file string) []logCall {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []logCall
	for _, decl := range parsed.Decls {
		spread := spreadPairs(decl)
		ast.Inspect(decl, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if level := logLevel(call); level != "" {
				c := logCall{position: set.Position(call.Pos()).String(), level: level}
				c.message, _ = constant(call.Args[0])
				pairs := call.Args[1:]
				if call.Ellipsis.IsValid() {
					name, _ := pairs[len(pairs)-1].(*ast.Ident)
					pairs = append(slices.Clone(pairs[:len(pairs)-1]), spread[fmt.Sprint(name)]...)
				}
				c.addKeys(pairs)
				calls = append(calls, c)
			}
			return true
		})
	}
	return calls
}

func (c *logCall) addKeys(pairs []ast.Expr) {
	if len(pairs)%2 != 0 {
		c.problems = append(c.problems, "a key without a value")
	}
	for i := 0; i < len(pairs); i += 2 {
		key, ok := constant(pairs[i])
		if !ok {
			c.problems = append(c.problems, "a key that is not constant")
			continue
		}
		c.keys = append(c.keys, key)
	}
}

// logLevel returns the level of a call of a logger; empty for other calls. The types of a
// single file are not known: a logger is recognized by its name, or by a constant message.
func logLevel(call *ast.CallExpr) string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	levels := []string{"Trace", "Debug", "Info", "Warn", "Error"}
	if !ok || len(call.Args) == 0 || !slices.Contains(levels, method.Sel.Name) {
		return ""
	}
	logger := ""
	switch x := method.X.(type) {
	case *ast.Ident:
		logger = x.Name
	case *ast.SelectorExpr:
		logger = x.Sel.Name
	case *ast.CallExpr: // log.Named("x").Info
		if f, ok := x.Fun.(*ast.SelectorExpr); ok {
			logger = f.Sel.Name
		}
	}
	_, isText := constant(call.Args[0])
	if isText || slices.Contains([]string{"log", "logger", "named", "with"}, strings.ToLower(logger)) {
		return method.Sel.Name
	}
	return ""
}

// spreadPairs returns what a function puts into slices of key-value pairs, by the name of
// the slice: x := []any{…} and x = append(x, …).
func spreadPairs(decl ast.Decl) map[string][]ast.Expr {
	pairs := map[string][]ast.Expr{}
	ast.Inspect(decl, func(n ast.Node) bool {
		assign, ok := n.(*ast.AssignStmt)
		if !ok || len(assign.Lhs) != 1 || len(assign.Rhs) != 1 {
			return true
		}
		name := fmt.Sprint(assign.Lhs[0])
		switch value := assign.Rhs[0].(type) {
		case *ast.CompositeLit:
			pairs[name] = append(pairs[name], value.Elts...)
		case *ast.CallExpr:
			if f, ok := value.Fun.(*ast.Ident); ok && f.Name == "append" && !value.Ellipsis.IsValid() {
				pairs[name] = append(pairs[name], value.Args[1:]...)
			}
		}
		return true
	})
	return pairs
}

// constant returns the text of a string literal, or of several joined by +.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := constant(e.X)
		right, alsoOK := constant(e.Y)
		return left + right, ok && alsoOK
	}
	return "", false
}

// eachLogCall calls visit for every call of a logger outside tests.
func eachLogCall(t *testing.T, visit func(logCall)) {
	t.Helper()
	count := 0
	eachSource(t, func(_, file string) {
		if slices.Contains(forwards, file) {
			return
		}
		for _, call := range logCalls(t, file) {
			count++
			visit(call)
		}
	})
	if count < 30 {
		t.Errorf("found only %d calls of loggers: are they recognized?", count)
	}
}

func TestLog_MessagesAreConstant(t *testing.T) {
	var findings []string
	eachLogCall(t, func(c logCall) {
		if c.message == "" {
			findings = append(findings, c.position+": the message is not constant")
		}
		for _, problem := range c.problems {
			findings = append(findings, c.position+": "+problem)
		}
	})
	report(t, findings)
}

func TestLog_KeysAreListed(t *testing.T) {
	_, section, found := strings.Cut(read(t, "CONTRIBUTING.md"), "\n### Keys of log lines\n")
	if !found {
		t.Fatal("CONTRIBUTING.md has no section for the keys of log lines")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	listed := firstColumn(section)
	for _, key := range listed {
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(key) {
			t.Errorf("key %q is not lower snake_case", key)
		}
	}
	var findings []string
	used := map[string]bool{}
	eachLogCall(t, func(c logCall) {
		for _, key := range c.keys {
			used[key] = true
			if !slices.Contains(listed, key) {
				findings = append(findings, fmt.Sprintf("%s: key %q is not listed in CONTRIBUTING.md", c.position, key))
			}
		}
	})
	for _, key := range listed {
		if !used[key] {
			findings = append(findings, fmt.Sprintf("CONTRIBUTING.md lists key %q, which no log line has", key))
		}
	}
	report(t, findings)
}

func TestOperateGuide_ExplainsEveryWarning(t *testing.T) {
	guide := read(t, "docs/operate.md")
	eachLogCall(t, func(c logCall) {
		if (c.level == "Warn" || c.level == "Error") && c.message != "" && !strings.Contains(guide, "`"+c.message+"`") {
			t.Errorf("%s: docs/operate.md does not explain `%s`", c.position, c.message)
		}
	})
}
