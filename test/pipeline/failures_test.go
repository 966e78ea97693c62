package pipeline_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// knownFailures is how many failures there are at least.
const knownFailures = 30

// What docs/failures.md names as proof has to be there, so that the table cannot rot.
func TestEveryProofOfTheTableOfFailuresExists(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`[^`]+`")
	failures := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "|\n "), "|")
		if len(cells) != 4 || !strings.Contains(cells[3], "`") {
			continue // no row, or the head of a group
		}
		failures++
		var proofs map[string]bool
		checked := 0
		for _, name := range quoted.FindAllString(cells[3], -1) {
			name = strings.Trim(name, "`")
			if strings.Contains(name, "/") {
				proofs = proofsIn(t, filepath.Join("../..", name))
				continue
			}
			if checked++; !proofs[name] {
				t.Errorf("%s: there is no %q where it is said to be", strings.TrimSpace(cells[0]), name)
			}
		}
		if checked == 0 {
			t.Errorf("%s: nothing proves it", strings.TrimSpace(cells[0]))
		}
	}
	if failures < knownFailures {
		t.Errorf("the table has %d failures, of %d or more", failures, knownFailures)
	}
}

// proofsIn returns the names of the tests of a package, and in a package of
// contracts all that is written in quotes: their promises are.
func proofsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	pattern, isContract := "*_test.go", strings.HasSuffix(dir, "test")
	if isContract {
		pattern = "*.go"
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	proofs := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				proofs[n.Name.Name] = n.Recv == nil && isTest.MatchString(n.Name.Name)
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && isContract {
					proofs[text] = true
				}
			}
			return true
		})
	}
	return proofs
}

var isTest = regexp.MustCompile("^(Test|Fuzz)")
