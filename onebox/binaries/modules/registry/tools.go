//go:build tools

// Package tools names the command that onebox builds from github.com/distribution/distribution/v3.
package tools

import _ "github.com/distribution/distribution/v3/cmd/registry"
