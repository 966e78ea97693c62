package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
)

// sbom lists the modules that a binary was built of, as the binary itself tells,
// in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/).
func sbom(info *debug.BuildInfo, version string) ([]byte, error) {
	type reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	type unit struct {
		ID         string      `json:"SPDXID"`
		Name       string      `json:"name"`
		Version    string      `json:"versionInfo"`
		Location   string      `json:"downloadLocation"`
		Licence    string      `json:"licenseConcluded"`
		Analyzed   bool        `json:"filesAnalyzed"`
		References []reference `json:"externalRefs,omitempty"`
	}
	type relation struct {
		From string `json:"spdxElementId"`
		Kind string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
	const root = "SPDXRef-popeye"
	units := []unit{{ID: root, Name: "popeye", Version: version, Location: "NOASSERTION", Licence: "Apache-2.0"}}
	relations := []relation{{"SPDXRef-DOCUMENT", "DESCRIBES", root}}
	add := func(name, version string) {
		id := fmt.Sprintf("SPDXRef-%d", len(units))
		units = append(units, unit{
			ID: id, Name: name, Version: version, Location: "NOASSERTION", Licence: "NOASSERTION",
			References: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + name + "@" + version}},
		})
		relations = append(relations, relation{root, "DEPENDS_ON", id})
	}
	add("stdlib", strings.TrimPrefix(info.GoVersion, "go"))
	for _, m := range info.Deps {
		m = cmp.Or(m.Replace, m)
		add(m.Path, m.Version)
	}
	text, err := json.MarshalIndent(map[string]any{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "popeye-" + version,
		"documentNamespace": "urn:popeye:sbom:" + version,
		// Not when it was made, or the same source would not make the same bytes.
		"creationInfo": map[string]any{"created": "1970-01-01T00:00:00Z", "creators": []string{"Tool: popeye/deploy/image"}},
		"packages":     units, "relationships": relations,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the list of modules: %w", err)
	}
	return text, nil
}
