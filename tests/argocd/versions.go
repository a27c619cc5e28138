package main

import (
	"encoding/json"
	"io"
	"runtime/debug"
	"slices"
)

// The modules that decide what is tested.
var decisive = []string{"github.com/argoproj/argo-cd/v3", "github.com/argoproj/gitops-engine", "k8s.io/kubernetes"}

// versions says which versions this binary was built from.
func versions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	for _, module := range info.Deps {
		name := module.Path
		if module.Replace != nil {
			module = module.Replace
		}
		if slices.Contains(decisive, name) {
			found[name] = module.Version
		}
	}
	return found
}

func printVersions(to io.Writer) error {
	return json.NewEncoder(to).Encode(versions())
}
