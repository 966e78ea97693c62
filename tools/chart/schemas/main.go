// Command schemas writes, for kubeconform, a JSON schema of every kind of object that
// an API server of Kubernetes knows, from the description that the module
// k8s.io/kubernetes has of it, and of the custom kinds in files of definitions. Nothing
// but that module is fetched.
//
//	schemas -swagger api/openapi-spec/swagger.json -out DIR crds/*.yaml
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	swagger := flag.String("swagger", "", "the API server's description")
	out := flag.String("out", "", "folder of the schemas")
	flag.Parse()
	if err := run(*swagger, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func run(swagger, out string, crds []string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := writeBuiltIn(swagger, out); err != nil {
		return err
	}
	for _, file := range crds {
		if err := writeCustom(file, out); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// schema is a JSON schema.
type schema = map[string]any

// gvk names a kind.
type gvk struct{ Group, Version, Kind string }

// file is where kubeconform looks for the kind, told
// {{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json. The group of what is only
// v1 is v1 to it.
func (k gvk) file() string {
	if k.Group == "" {
		k.Group = k.Version
	}
	return strings.ToLower(fmt.Sprintf("%s_%s_%s.json", k.Group, k.Version, k.Kind))
}

// writeBuiltIn writes a schema of each kind that is built in.
func writeBuiltIn(swagger, out string) error {
	text, err := os.ReadFile(swagger)
	if err != nil {
		return err
	}
	var description struct {
		Definitions map[string]schema `json:"definitions"`
	}
	if err := json.Unmarshal(text, &description); err != nil {
		return err
	}
	for name, s := range description.Definitions {
		switch {
		case strings.HasSuffix(name, "intstr.IntOrString"):
			description.Definitions[name] = schema{"type": []string{"string", "integer"}}
		case strings.HasSuffix(name, "resource.Quantity"):
			description.Definitions[name] = schema{"type": []string{"string", "number"}}
		default:
			tighten(s)
		}
	}
	for name, s := range description.Definitions {
		kinds, err := kindsOf(s)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(kinds) != 1 {
			continue // DeleteOptions and the like, of many groups
		}
		closure := map[string]schema{}
		collect(description.Definitions, name, closure)
		if err := write(out, kinds[0], schema{"$ref": "#/definitions/" + name, "definitions": closure}); err != nil {
			return err
		}
	}
	return nil
}

func kindsOf(s schema) ([]gvk, error) {
	text, err := json.Marshal(s["x-kubernetes-group-version-kind"])
	if err != nil {
		return nil, err
	}
	var kinds []gvk
	return kinds, json.Unmarshal(text, &kinds)
}

// collect adds to found the definition of that name, and those that it needs.
func collect(all map[string]schema, name string, found map[string]schema) {
	if _, seen := found[name]; seen {
		return
	}
	found[name] = all[name]
	walk(all[name], func(s schema) {
		if ref, ok := s["$ref"].(string); ok {
			collect(all, strings.TrimPrefix(ref, "#/definitions/"), found)
		}
	})
}

// tighten refuses members that an object does not have, and forgets what JSON schemas
// do not know.
func tighten(s schema) {
	walk(s, func(s schema) {
		properties, isObject := s["properties"]
		_, open := s["additionalProperties"]
		if _, isMap := properties.(map[string]any); isObject && isMap && !open && s["x-kubernetes-preserve-unknown-fields"] == nil {
			s["additionalProperties"] = false
		}
		if s["x-kubernetes-int-or-string"] == true {
			delete(s, "type")
		}
		delete(s, "format")
		delete(s, "default")
		delete(s, "description")
	})
}

// walk visits s and all schemas in it.
func walk(s schema, visit func(schema)) {
	visit(s)
	for key, value := range s {
		switch value := value.(type) {
		case map[string]any:
			if key == "properties" || key == "definitions" {
				for _, property := range value {
					if property, ok := property.(map[string]any); ok {
						walk(property, visit)
					}
				}
				continue
			}
			walk(value, visit)
		case []any:
			for _, item := range value {
				if item, ok := item.(map[string]any); ok {
					walk(item, visit)
				}
			}
		}
	}
}

// definition is a CustomResourceDefinition, as far as it matters.
type definition struct {
	Kind string `json:"kind"`
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Schema struct {
				OpenAPIV3Schema schema `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// writeCustom writes a schema of each custom kind that a file defines.
func writeCustom(file, out string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for document := range bytes.SplitSeq(text, []byte("\n---")) {
		var d definition
		if err := yaml.Unmarshal(document, &d); err != nil {
			return err
		}
		if d.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, version := range d.Spec.Versions {
			s := version.Schema.OpenAPIV3Schema
			if s == nil {
				return errors.New(d.Spec.Names.Kind + " has no schema")
			}
			tighten(s)
			// What every object has is said to be an object, no more.
			if properties, ok := s["properties"].(map[string]any); ok {
				properties["metadata"] = schema{"type": "object"}
			}
			if err := write(out, gvk{d.Spec.Group, version.Name, d.Spec.Names.Kind}, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func write(out string, k gvk, s schema) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, k.file()), text, 0o644)
}
