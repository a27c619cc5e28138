// Package up runs a whole Argo CD with its Kubernetes on loopback, as long as somebody holds its stdin open.
package up

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Ready is the one line that is printed when everything answers.
type Ready struct {
	Seconds         float64        `json:"seconds"`
	URL             string         `json:"url"`
	Token           string         `json:"token"`       // of the account `deploybot`: get and sync, on everything
	AdminToken      string         `json:"admin_token"` // of `admin`: everything
	WebhookSecret   string         `json:"webhook_secret"`
	Cluster         string         `json:"cluster"` // the destination's name in an application
	Kubernetes      string         `json:"kubernetes"`
	KubernetesToken string         `json:"kubernetes_token"`
	Certificate     string         `json:"certificate"` // the file to trust kube-apiserver by
	Kubeconfig      string         `json:"kubeconfig"`
	Folder          string         `json:"folder"`
	Pids            map[string]int `json:"pids"`
}

// An instance is one Argo CD with its Kubernetes.
type instance struct {
	self   string // this binary
	argo   string // the binary of Argo CD's parts: this one, or that of another version
	suffix string // of what belongs to that version
	folder string // everything that this instance writes
	logs   string
	ports  *block
	parts  []*part

	url, kubernetes                               string
	adminPassword, webhookSecret, kubernetesToken string
	certificate                                   []byte
	config                                        *rest.Config
	client                                        kubernetes.Interface
}

// Run starts everything, prints the line, obeys commands, and leaves nothing behind.
func Run(args []string) (err error) {
	begin := time.Now()
	flags := flag.NewFlagSet("up", flag.ExitOnError)
	logs := flags.String("logs", "", "a folder to keep the parts' logs in; without it they go with the rest")
	takes := flags.Duration("takes", time.Second, "how long a Pod usually takes to get ready")
	version := flags.String("argocd", "", "another version of Argo CD: `v2`, which `build FOLDER v2` makes")
	_ = flags.Parse(args)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	lines := readLines(stop)

	u, err := newUp(*logs, *version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.down()) }()
	if err := u.addParts(takes.String()); err != nil {
		return err
	}
	if err := u.writeAccess(); err != nil {
		return err
	}
	ready, err := u.start(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before it was ready
		}
		return err
	}
	ready.Seconds = time.Since(begin).Seconds()
	answer := json.NewEncoder(os.Stdout)
	if err := answer.Encode(ready); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-lines:
			if err := answer.Encode(u.obey(ctx, line)); err != nil {
				return err
			}
		}
	}
}

func newUp(logs, version string) (*instance, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	suffix := ""
	if version != "" {
		suffix = "-" + version
	}
	argo := self + suffix
	if _, err := os.Stat(argo); err != nil {
		return nil, fmt.Errorf("%w: `build FOLDER %s` makes it", err, version)
	}
	folder, err := os.MkdirTemp("", "real-argocd-")
	if err != nil {
		return nil, err
	}
	u := &instance{
		self: self, argo: argo, suffix: suffix, folder: folder, logs: logs,
		adminPassword: secret(), webhookSecret: secret(), kubernetesToken: secret(),
	}
	if u.logs == "" {
		u.logs = u.path("logs")
	}
	for _, folder := range []string{u.logs, u.path("home"), u.path("tmp")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, errors.Join(err, u.down())
		}
	}
	if u.ports, err = takeBlock(); err != nil {
		return nil, errors.Join(err, u.down())
	}
	return u, nil
}

func (u *instance) path(name string) string { return filepath.Join(u.folder, name) }

// start brings the parts up in the order in which they need each other.
func (u *instance) start(ctx context.Context) (*Ready, error) {
	if err := u.startParts(etcd, redis, apiServer, repoServer); err != nil {
		return nil, err
	}
	all, err := readManifests(filepath.Join(filepath.Dir(u.self), "manifests"+u.suffix))
	if err != nil {
		return nil, err
	}
	if err := u.part(apiServer).await(ctx); err != nil {
		return nil, err
	}
	if err := u.seed(ctx, all); err != nil {
		return nil, err
	}
	if err := u.startParts(appController, argoServer, controllerManager, paperNode); err != nil {
		return nil, err
	}
	for _, p := range u.parts {
		if err := p.await(ctx); err != nil {
			return nil, err
		}
	}
	admin, bot, err := u.tokens(ctx)
	if err != nil {
		return nil, err
	}
	return &Ready{
		URL: u.url, Token: bot, AdminToken: admin, WebhookSecret: u.webhookSecret, Cluster: cluster,
		Kubernetes: u.kubernetes, KubernetesToken: u.kubernetesToken, Certificate: u.path(certificateFile),
		Kubeconfig: u.path(kubeconfigFile), Folder: u.folder, Pids: u.pids(),
	}, nil
}

func (u *instance) startParts(names ...string) error {
	for _, name := range names {
		if err := u.part(name).start(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (u *instance) part(name string) *part {
	for _, p := range u.parts {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (u *instance) pids() map[string]int {
	pids := map[string]int{}
	for _, p := range u.parts {
		if p.running() {
			pids[p.name] = p.pid()
		}
	}
	return pids
}

// down ends all parts and removes the folder. Nothing in it is worth a graceful end.
func (u *instance) down() error {
	for _, p := range u.parts {
		if p.running() {
			_ = p.kill()
		}
	}
	if u.ports != nil {
		u.ports.free()
	}
	// A git that repo-server had started may write for a moment longer.
	var err error
	for range 20 {
		if err = os.RemoveAll(u.folder); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}
