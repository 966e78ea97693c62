// Package openapi holds the description of Popeye's HTTP interface.
package openapi

import _ "embed"

// Document is the OpenAPI 3.1 document, in YAML.
//
//go:embed openapi.yaml
var Document []byte
