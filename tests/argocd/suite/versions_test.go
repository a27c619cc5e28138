package suite

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The binary is made of what go.mod names, and gitops-engine is the one that this Argo CD was made with.
func TestVersionsAreThePinnedOnes(t *testing.T) {
	out, err := exec.Command(binary(), "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", out)
	var built map[string]string
	if err := json.Unmarshal(out, &built); err != nil {
		t.Fatal(err)
	}
	argo, kube, engine := built["github.com/argoproj/argo-cd/v3"], built["k8s.io/kubernetes"], built["github.com/argoproj/gitops-engine"]
	if want := required(t, "../go.mod", "github.com/argoproj/argo-cd/v3"); argo != want {
		t.Errorf("argo-cd is %q, and not %s", argo, want)
	}
	if want := required(t, "../go.mod", "k8s.io/kubernetes"); kube != want {
		t.Errorf("kubernetes is %q, and not %s", kube, want)
	}
	module, err := exec.Command("go", "list", "-m", "-f", "{{.GoMod}}", "github.com/argoproj/argo-cd/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := required(t, strings.TrimSpace(string(module)), "github.com/argoproj/gitops-engine"); engine != want {
		t.Errorf("gitops-engine is %q, and Argo CD was made with %s", engine, want)
	}

	var version struct{ Version string }
	_, text, err := shared.ask(shared.Token, http.MethodGet, "/api/version", nil)
	if err != nil || json.Unmarshal(text, &version) != nil || version.Version != argo {
		t.Errorf("Argo CD says %s %v", text, err)
	}
	if says := kubernetesVersion(t); says != kube {
		t.Errorf("Kubernetes says %s", says)
	}
}

// required is the version that a go.mod requires of a module.
func required(t *testing.T, file, module string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) >= 2 && words[0] == module && words[1] != "=>" {
			return words[1]
		}
	}
	t.Fatalf("%s does not require %s", file, module)
	return ""
}

// kubernetesVersion asks kube-apiserver as a test in another language would: by certificate and token.
func kubernetesVersion(t *testing.T) string {
	t.Helper()
	certificate, err := os.ReadFile(shared.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	request, err := http.NewRequest(http.MethodGet, shared.Kubernetes+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+shared.KubernetesToken)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var version struct{ GitVersion string }
	if err := json.NewDecoder(response.Body).Decode(&version); err != nil {
		t.Fatal(err)
	}
	return version.GitVersion
}
