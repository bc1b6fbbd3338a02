package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cucumber/godog"
	"go.yaml.in/yaml/v3"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// TestConformance performs the scenarios of the specification's own conformance
// kit that concern the interpreter. The kit stands beside the repository, or
// where SPEC_DIR says; tables_test.go tests the same behaviour without it.
func TestConformance(t *testing.T) {
	dir := os.Getenv("SPEC_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "spec", "ows-1.0.3")
	}
	features := filepath.Join(dir, "ctk", "features")
	if _, err := os.Stat(features); err != nil {
		t.Logf("no conformance kit at %s: nothing to perform", features)
		return
	}
	var paths []string
	for _, name := range []string{"set", "do", "switch", "try", "raise", "for", "flow", "data-flow"} {
		paths = append(paths, filepath.Join(features, name+".feature"))
	}
	suite := godog.TestSuite{
		ScenarioInitializer: scenario,
		Options:             &godog.Options{Format: "pretty", Output: discard{}, Paths: paths, TestingT: t, Strict: true},
	}
	if suite.Run() != 0 {
		t.Fatal("the conformance kit is not satisfied")
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// world is the state of one scenario.
type world struct {
	text  string
	input any
	x     *reference
	end   conclusion
}

func scenario(sc *godog.ScenarioContext) {
	w := &world{input: map[string]any{}}
	sc.Step(`^a workflow with definition:$`, func(doc *godog.DocString) { w.text = doc.Content })
	sc.Step(`^given the workflow input is:$`, func(doc *godog.DocString) (err error) {
		w.input, err = decode(doc.Content)
		return err
	})
	sc.Step(`^the workflow is executed$`, w.execute)
	sc.Step(`^the workflow should complete$`, func() error {
		if w.end.fault != nil {
			return fmt.Errorf("faulted: %v", w.end.fault)
		}
		return nil
	})
	sc.Step(`^the workflow should fault$`, func() error {
		if w.end.fault == nil {
			return errors.New("completed")
		}
		return nil
	})
	sc.Step(`^the workflow should complete with output:$`, func(doc *godog.DocString) error {
		return same(doc.Content, w.end.output)
	})
	sc.Step(`^the workflow should fault with error:$`, func(doc *godog.DocString) error {
		return same(doc.Content, w.end.fault)
	})
	sc.Step(`^the workflow output should have properties (.+)$`, func(list string) error {
		for path := range strings.SplitSeq(list, ",") {
			if _, err := w.property(strings.Trim(strings.TrimSpace(path), "'")); err != nil {
				return err
			}
		}
		return nil
	})
	sc.Step(`^the workflow output should have a '([^']+)' property with value:$`, func(path string, doc *godog.DocString) error {
		v, err := w.property(path)
		if err != nil {
			return err
		}
		return same(doc.Content, v)
	})
	sc.Step(`^(\S+) should run first$`, func(name string) error { return w.order(name, 0) })
	sc.Step(`^(\S+) should run last$`, func(name string) error { return w.order(name, len(w.x.ran["run"])-1) })
	sc.Step(`^(\S+) should run after (\S+)$`, func(later, earlier string) error {
		if w.position(earlier) < 0 || w.position(later) <= w.position(earlier) {
			return fmt.Errorf("the order was %v", w.x.ran["run"])
		}
		return nil
	})
}

func (w *world) execute() error {
	d, err := flow.Parse([]byte(w.text))
	if err != nil {
		return err
	}
	w.x = newReference(library{d.Digest: d})
	w.x.input["run"] = w.input
	w.x.call = petstore
	env := w.x.environment()
	env.ExecuteWorkflow(task.Carrier, carrying(d.Digest, "run"))
	if err := env.GetWorkflowError(); err != nil {
		return err
	}
	var ok bool
	if w.end, ok = w.x.ended["run"]; !ok {
		return errors.New("the run did not end")
	}
	return nil
}

// petstore answers the calls of the kit: pets by number, and no pet by name.
func petstore(_ *flow.Task, with any) (any, error) {
	endpoint := fmt.Sprint(with.(map[string]any)["endpoint"])
	switch {
	case strings.Contains(endpoint, "ByName"):
		return nil, &problem{kind: "communication", status: 404, detail: "Not Found"}
	case strings.Contains(endpoint, "/pet/2"):
		return map[string]any{"id": 2, "name": "Idefix"}, nil
	}
	return map[string]any{"id": 1, "name": "Milou"}, nil
}

func (w *world) property(path string) (any, error) {
	v := w.end.output
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: not in %v", path, w.end.output)
		}
		if v, ok = m[name]; !ok {
			return nil, fmt.Errorf("%s: not in %v", path, w.end.output)
		}
	}
	return v, nil
}

func (w *world) position(name string) int {
	for i, n := range w.x.ran["run"] {
		if n == name {
			return i
		}
	}
	return -1
}

func (w *world) order(name string, at int) error {
	if ran := w.x.ran["run"]; at < 0 || at >= len(ran) || ran[at] != name {
		return fmt.Errorf("the order was %v", ran)
	}
	return nil
}

func decode(text string) (any, error) {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return nil, err
	}
	return normal(v)
}

// normal brings a value into the form that JSON gives it.
func normal(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(data, &out)
}

func same(text string, have any) error {
	want, err := decode(text)
	if err != nil {
		return err
	}
	if have, err = normal(have); err != nil {
		return err
	}
	if !reflect.DeepEqual(want, have) {
		return fmt.Errorf("want %v, have %v", want, have)
	}
	return nil
}
