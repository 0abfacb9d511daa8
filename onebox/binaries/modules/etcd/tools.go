//go:build tools

// Package tools names the command that onebox builds from go.etcd.io/etcd/server/v3.
package tools

import _ "go.etcd.io/etcd/server/v3"
