// The three parts of an Argo CD 2.14, in one binary, for `real-argocd up --argocd v2`.
//
// It is a module of its own because one module cannot hold two versions of gitops-engine and of Kubernetes' libraries.
// `../build FOLDER v2` builds it into the same folder as the first one.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	appcontroller "github.com/argoproj/argo-cd/v2/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v2/cmd/argocd-repo-server/commands"
	server "github.com/argoproj/argo-cd/v2/cmd/argocd-server/commands"
	"github.com/argoproj/argo-cd/v2/util/askpass"
	"github.com/spf13/cobra"
)

var programs = map[string]func() *cobra.Command{
	"server":                 server.NewCommand,
	"repo-server":            reposerver.NewCommand,
	"application-controller": appcontroller.NewCommand,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || programs[args[0]] == nil {
		return fmt.Errorf("say which part: server, repo-server, application-controller")
	}
	// Instances side by side must not share repo-server's socket for git's passwords.
	askpass.SocketPath = filepath.Join(os.TempDir(), "ask-pass.sock")
	command := programs[args[0]]()
	command.SetArgs(args[1:])
	return command.Execute()
}
