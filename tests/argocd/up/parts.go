package up

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// The parts by name: how they are called in commands, in the answer's pids, and as subcommands of this binary.
const (
	etcd              = "etcd"
	redis             = "redis"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	paperNode         = "paper-node"
	repoServer        = "repo-server"
	appController     = "application-controller"
	argoServer        = "server"
)

// addParts says how each part is run, and when it is ready. Nothing is started yet.
func (u *instance) addParts(takes string) error {
	ports := map[string]int{}
	for _, name := range []string{etcd, "etcd-peer", redis, apiServer, controllerManager, repoServer, "repo-server-metrics", "controller-metrics", argoServer, "server-metrics"} {
		port, err := u.ports.port()
		if err != nil {
			return err
		}
		ports[name] = port
	}
	at := func(name string) string { return address(ports[name]) }
	port := func(name string) string { return strconv.Itoa(ports[name]) }

	u.url = "http://" + at(argoServer)
	u.kubernetes = "https://" + at(apiServer)

	u.add(etcd, etcd, answers(http.DefaultClient, "http://"+at(etcd)+"/health"),
		"--name", "paper", "--data-dir", u.path("etcd"), "--log-level", "warn", "--logger", "zap",
		"--listen-client-urls", "http://"+at(etcd), "--advertise-client-urls", "http://"+at(etcd),
		"--listen-peer-urls", "http://"+at("etcd-peer"), "--initial-advertise-peer-urls", "http://"+at("etcd-peer"),
		"--initial-cluster", "paper=http://"+at("etcd-peer"))
	u.add(redis, "redis-server", listens(at(redis)),
		"--port", port(redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", u.folder)

	u.add(apiServer, u.self, u.apiServerReady, apiServer,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+port(apiServer), "--endpoint-reconciler-type=none",
		"--etcd-servers=http://"+at(etcd),
		"--tls-cert-file="+u.path(certificateFile), "--tls-private-key-file="+u.path(keyFile),
		"--token-auth-file="+u.path(tokensFile), "--authorization-mode=AlwaysAllow",
		"--service-account-issuer=https://paper", "--service-account-key-file="+u.path(keyFile), "--service-account-signing-key-file="+u.path(keyFile),
		"--service-cluster-ip-range=10.96.0.0/16", "--disable-admission-plugins=ServiceAccount",
		// Admission that changes objects, without a web server for it.
		"--feature-gates=MutatingAdmissionPolicy=true", "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
		"--profiling=false", "--event-ttl=1h")
	u.add(controllerManager, u.self, u.controllerManagerReady("https://"+at(controllerManager)+"/healthz"), controllerManager,
		"--kubeconfig="+u.path(kubeconfigFile), "--leader-elect=false",
		"--bind-address=127.0.0.1", "--secure-port="+port(controllerManager),
		"--tls-cert-file="+u.path(certificateFile), "--tls-private-key-file="+u.path(keyFile),
		// Nobody sends the node's heartbeat, so nobody may miss it.
		"--controllers=*,-node-lifecycle-controller,-taint-eviction-controller",
		"--kube-api-qps=200", "--kube-api-burst=400")
	u.add(paperNode, u.self, u.paperNodeReady, paperNode, "--kubeconfig", u.path(kubeconfigFile), "--takes", takes)

	u.add(repoServer, u.argo, answers(http.DefaultClient, "http://"+at("repo-server-metrics")+"/healthz?full=true"), repoServer,
		"--address", "127.0.0.1", "--port", port(repoServer), "--disable-tls", "--redis", at(redis),
		"--metrics-address", "127.0.0.1", "--metrics-port", port("repo-server-metrics"))
	u.add(appController, u.argo, answers(http.DefaultClient, "http://"+at("controller-metrics")+"/healthz"), appController,
		"--kubeconfig", u.path(kubeconfigFile), "--namespace", namespace, "--redis", at(redis),
		"--repo-server", at(repoServer), "--repo-server-plaintext", "--metrics-port", port("controller-metrics"))
	u.add(argoServer, u.argo, answers(http.DefaultClient, u.url+"/healthz?full=true"), argoServer,
		"--kubeconfig", u.path(kubeconfigFile), "--namespace", namespace, "--redis", at(redis),
		"--address", "127.0.0.1", "--port", port(argoServer), "--insecure", "--repo-server", at(repoServer), "--repo-server-plaintext",
		"--metrics-address", "127.0.0.1", "--metrics-port", port("server-metrics"))

	for _, p := range u.parts {
		program, err := exec.LookPath(p.program)
		if err != nil {
			return fmt.Errorf("%w: Debian has it in %s", err, map[string]string{etcd: "etcd-server", redis: "redis-server"}[p.name])
		}
		p.program = program
	}
	return nil
}

func (u *instance) add(name, program string, ready func(context.Context) error, args ...string) {
	u.parts = append(u.parts, &part{name: name, program: program, args: args, env: u.environment(), ready: ready, logs: u.logs})
}

// environment is all that a part sees of this machine: no proxy, no settings of git or of a person's Kubernetes.
func (u *instance) environment() []string {
	return []string{
		// helm and kustomize lie beside this binary.
		"PATH=" + filepath.Dir(u.self) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + u.path("home"),
		"TMPDIR=" + u.path("tmp"),
		"LANG=C.UTF-8",
		// Half the garbage collection is a second less at the start, for some 300 MB.
		"GOGC=200",
		"ARGOCD_GPG_ENABLED=false",
		"ARGOCD_TLS_DATA_PATH=" + u.path("home"),
		"ARGOCD_SSH_DATA_PATH=" + u.path("home"),
		"ARGOCD_APP_CONF_PATH=" + u.path("home"),
		"ARGOCD_PLUGINSOCKFILEPATH=" + u.path("home"),
		"ARGOCD_CONTROLLER_REPLICAS=1",
	}
}
