// Package suite tries the binary as its users do: `up`, Argo CD's API, git over HTTP.
package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// folder is where the binary is built into: REAL_ARGOCD, or the cache that the project keeps outside the checkout.
var folder = sync.OnceValue(func() string {
	if named := os.Getenv("REAL_ARGOCD"); named != "" {
		return named
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		panic(err)
	}
	return filepath.Join(cache, "deploy-bot", "argocd")
})

func binary() string { return filepath.Join(folder(), "real-argocd") }

// shared is the one instance of all tests that kill nothing.
var shared *instance

func TestMain(m *testing.M) {
	build := exec.Command("../build", folder())
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	var err error
	if shared, err = begin(); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "ready after %.1f s\n", shared.Seconds)
	code := m.Run()
	if err := shared.end(); err != nil {
		fmt.Fprintln(os.Stderr, "end:", err)
		code = 1
	}
	os.Exit(code)
}
