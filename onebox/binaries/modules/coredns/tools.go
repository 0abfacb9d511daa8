//go:build tools

// Package tools names the command that onebox builds from github.com/coredns/coredns.
package tools

import _ "github.com/coredns/coredns"
