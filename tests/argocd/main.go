// A real Argo CD, and the Kubernetes that it needs, in one binary.
//
// Each part is a subcommand that takes the part's own flags:
//
//	server, repo-server, application-controller      Argo CD
//	kube-apiserver, kube-controller-manager          Kubernetes
//	paper-node                                       kubelet and scheduler on paper: see paper/rules.go
//
// Two more need no flags:
//
//	up         runs all of them, etcd and redis-server on loopback
//	version    prints which versions they are
//
// To build: `./build FOLDER`. The folder then has the binary, and beside it what `up` looks for there: Argo CD's
// own manifests, helm and kustomize. etcd and redis-server are taken from PATH (on Debian: etcd-server,
// redis-server). It needs Linux.
//
// `FOLDER/real-argocd up` prints one line of JSON when everything answers (up.Ready), obeys one line of JSON at
// a time on stdin, and answers each with one line on stdout (see up/commands.go):
//
//	{"kill": "server"}     ends a part at once
//	{"start": "server"}    starts it again on the same port; answered when it is ready
//	{"kube": {"method": "GET", "path": "/version"}}    asks kube-apiserver as a cluster admin
//
// The names are the subcommands above, `etcd` and `redis`. When stdin is closed, or on SIGTERM, it ends all
// parts and removes its temporary folder. If it is killed, the kernel ends the parts. Several may run at once.
//
// `up --argocd v2` runs the first three from real-argocd-v2, which `./build FOLDER v2` builds from v2/: an older Argo CD,
// with that one's manifests, on the same Kubernetes.
//
// To test: `REAL_ARGOCD=FOLDER GOFLAGS=-trimpath go test ./...` builds into the folder, too. Without the variable it
// is one in the user's cache; without the flag Go compiles everything a second time.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	appcontroller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	server "github.com/argoproj/argo-cd/v3/cmd/argocd-server/commands"
	"github.com/argoproj/argo-cd/v3/util/askpass"
	"github.com/spf13/cobra"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubeapiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"

	"real-argocd/paper"
	"real-argocd/up"
)

// What is a program of its own elsewhere.
var programs = map[string]func() *cobra.Command{
	"server":                  server.NewCommand,
	"repo-server":             reposerver.NewCommand,
	"application-controller":  appcontroller.NewCommand,
	"kube-apiserver":          func() *cobra.Command { return kubeapiserver.NewAPIServerCommand() },
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
}

// What is ours.
var ours = map[string]func(args []string) error{
	"paper-node": paper.Run,
	"up":         up.Run,
	"version":    func([]string) error { return printVersions(os.Stdout) },
}

// The parts are killed by the kernel when the thread that started them ends: that has to be the main thread.
func init() { runtime.LockOSThread() }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say which part: up, version, paper-node, %s", strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
	}
	if one := ours[args[0]]; one != nil {
		return one(args[1:])
	}
	program := programs[args[0]]
	if program == nil {
		return fmt.Errorf("no such part: %s", args[0])
	}
	// Instances side by side must not share repo-server's socket for git's passwords.
	askpass.SocketPath = filepath.Join(os.TempDir(), "ask-pass.sock")
	command := program()
	command.SetArgs(args[1:])
	return command.Execute()
}
