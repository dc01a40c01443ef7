//go:build tools

// Package peers only lists the programs that the benchmarks compare with, so that go.mod and go.sum pin them.
package peers

import _ "helm.sh/helm/v4/cmd/helm"
