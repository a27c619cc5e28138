package up

import (
	"fmt"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Files in the instance's folder.
const (
	certificateFile = "kubernetes.crt"
	keyFile         = "kubernetes.key"
	tokensFile      = "tokens.csv"
	kubeconfigFile  = "kubeconfig"
)

// writeAccess makes what kube-apiserver is served with and reached by: keys, a token, a kubeconfig.
func (u *instance) writeAccess() error {
	certificate, key, err := newKeyPair()
	if err != nil {
		return err
	}
	u.certificate = certificate
	for name, text := range map[string][]byte{
		certificateFile: certificate,
		keyFile:         key,
		tokensFile:      fmt.Appendf(nil, "%s,paper-admin,paper-admin,system:masters\n", u.kubernetesToken),
	} {
		if err := os.WriteFile(u.path(name), text, 0o600); err != nil {
			return err
		}
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["paper"] = &clientcmdapi.Cluster{Server: u.kubernetes, CertificateAuthorityData: certificate}
	config.AuthInfos["paper"] = &clientcmdapi.AuthInfo{Token: u.kubernetesToken}
	config.Contexts["paper"] = &clientcmdapi.Context{Cluster: "paper", AuthInfo: "paper"}
	config.CurrentContext = "paper"
	if err := clientcmd.WriteToFile(*config, u.path(kubeconfigFile)); err != nil {
		return err
	}
	u.config = &rest.Config{
		Host: u.kubernetes, BearerToken: u.kubernetesToken,
		TLSClientConfig: rest.TLSClientConfig{CAData: certificate}, QPS: 200, Burst: 400,
	}
	u.client, err = kubernetes.NewForConfig(u.config)
	return err
}
