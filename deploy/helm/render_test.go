// Package helm holds the chart, and tests what it renders: nobody needs a cluster for
// that.
package helm

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"popeye/internal/lab/labtest"
)

const (
	chart     = "popeye"
	binary    = "../../.bin/helm"
	namespace = "popeye"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// try renders the chart as helm would install it, with settings such as
// poll.replicas=3, or files of values.
func try(t *testing.T, settings ...string) ([]object, error) {
	t.Helper()
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("helm is built by \"make chart\": %v", err)
	}
	args := []string{"template", "popeye", chart, "--namespace", namespace, "--kube-version", "1.34.0"}
	for _, s := range settings {
		if strings.HasSuffix(s, ".yaml") {
			args = append(args, "--values", s)
		} else {
			args = append(args, "--set", s)
		}
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, errors.New(stderr.String())
	}
	var objects []object
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		o := map[string]any{}
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(o) > 0 {
			objects = append(objects, o)
		}
	}
}

func render(t *testing.T, settings ...string) []object {
	t.Helper()
	objects, err := try(t, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// valuesFiles are the files for clusters of each kind.
func valuesFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("values/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("there are %v, %v", files, err)
	}
	return files
}

// object is one of Kubernetes', or a part of one.
type object map[string]any

// at returns what is at a path such as spec.template, nil where nothing is.
func (o object) at(path string) any {
	var here any = map[string]any(o)
	for step := range strings.SplitSeq(path, ".") {
		members, ok := here.(map[string]any)
		if !ok {
			return nil
		}
		here = members[step]
	}
	return here
}

func (o object) text(path string) string {
	text, _ := o.at(path).(string)
	return text
}

func (o object) object(path string) object {
	members, _ := o.at(path).(map[string]any)
	return members
}

// list returns the objects of a list.
func (o object) list(path string) []object {
	items, _ := o.at(path).([]any)
	var all []object
	for _, item := range items {
		if members, ok := item.(map[string]any); ok {
			all = append(all, members)
		}
	}
	return all
}

func (o object) texts(path string) []string {
	items, _ := o.at(path).([]any)
	var all []string
	for _, item := range items {
		if text, ok := item.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

func (o object) kind() string { return o.text("kind") }
func (o object) name() string { return o.text("metadata.name") }

// component is which part of Popeye an object belongs to.
func (o object) component() string {
	return label(o.object("metadata"), "app.kubernetes.io/component")
}

func label(metadata object, name string) string {
	text, _ := metadata.object("labels")[name].(string)
	return text
}

// find returns an object.
func find(t *testing.T, objects []object, kind, name string) object {
	t.Helper()
	for _, o := range objects {
		if o.kind() == kind && o.name() == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// pod is a pod as an object makes it.
type pod struct {
	owner    object
	metadata object
	spec     object
}

// pods returns what makes pods.
func pods(objects []object) []pod {
	var all []pod
	for _, o := range objects {
		template := o.object("spec.template")
		switch o.kind() {
		case "Deployment", "StatefulSet", "DaemonSet", "Job":
		case "CronJob":
			template = o.object("spec.jobTemplate.spec.template")
		case "Pod":
			template = o
		default:
			continue
		}
		all = append(all, pod{o, template.object("metadata"), template.object("spec")})
	}
	return all
}

func (p pod) component() string { return label(p.metadata, "app.kubernetes.io/component") }

func (p pod) containers() []object {
	return append(p.spec.list("initContainers"), p.spec.list("containers")...)
}
