package up

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/argoproj/argo-cd/v3/util/password"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	namespace = "argocd"
	account   = "deploybot"
	cluster   = "paper" // what applications name as their destination
)

// What this instance needs beside the ConfigMaps that every installation of Argo CD begins with.
var settings = map[string]map[string]string{
	"argocd-cm": {
		"accounts." + account:      "apiKey",
		"timeout.reconciliation":   "0s",
		"cluster.inClusterEnabled": "false",
	},
	"argocd-rbac-cm": {
		"policy.csv": fmt.Sprintf("p, role:%[1]s, applications, get, */*, allow\np, role:%[1]s, applications, sync, */*, allow\ng, %[1]s, role:%[1]s\n", account),
	},
}

// seed makes the cluster what Argo CD is installed into.
func (u *upHere) seed(ctx context.Context) error {
	_, err := u.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(u.self), "manifests", "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no manifests beside %s: `build` puts them there", u.self)
	}
	definitions, err := apiextensions.NewForConfig(u.config)
	if err != nil {
		return err
	}
	var wait []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(text, &kind); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		switch kind.Kind {
		case "CustomResourceDefinition":
			var definition apiextensionsv1.CustomResourceDefinition
			if err := yaml.Unmarshal(text, &definition); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			wait = append(wait, definition.Name)
			_, err = definitions.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, &definition, metav1.CreateOptions{})
		case "ConfigMap":
			var config corev1.ConfigMap
			if err := yaml.Unmarshal(text, &config); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if config.Data == nil {
				config.Data = map[string]string{}
			}
			for key, value := range settings[config.Name] {
				config.Data[key] = value
			}
			_, err = u.client.CoreV1().ConfigMaps(namespace).Create(ctx, &config, metav1.CreateOptions{})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if err := u.seedSecrets(ctx); err != nil {
		return err
	}
	return awaitDefinitions(ctx, definitions, wait)
}

// seedSecrets writes what Argo CD keeps for itself, and the cluster that it deploys to.
func (u *upHere) seedSecrets(ctx context.Context) error {
	hash, err := password.HashPassword(u.adminPassword)
	if err != nil {
		return err
	}
	access, err := json.Marshal(map[string]any{
		"bearerToken":     u.kubernetesToken,
		"tlsClientConfig": map[string]string{"caData": base64.StdEncoding.EncodeToString(u.certificate)},
	})
	if err != nil {
		return err
	}
	for _, s := range []corev1.Secret{{
		ObjectMeta: metav1.ObjectMeta{Name: "argocd-secret", Labels: map[string]string{"app.kubernetes.io/part-of": "argocd"}},
		StringData: map[string]string{
			"admin.password":        hash,
			"admin.passwordMtime":   time.Now().UTC().Format(time.RFC3339),
			"server.secretkey":      secret(),
			"webhook.github.secret": u.webhookSecret,
		},
	}, {
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-" + cluster, Labels: map[string]string{
			"app.kubernetes.io/part-of": "argocd", "argocd.argoproj.io/secret-type": "cluster",
		}},
		StringData: map[string]string{"name": cluster, "server": u.kubernetes, "config": string(access)},
	}} {
		if _, err := u.client.CoreV1().Secrets(namespace).Create(ctx, &s, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func awaitDefinitions(ctx context.Context, definitions apiextensions.Interface, names []string) error {
	for _, name := range names {
		for {
			definition, err := definitions.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if isEstablished(definition) {
				break
			}
			select {
			case <-ctx.Done():
				return errors.Join(ctx.Err(), fmt.Errorf("%s is not established", name))
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func isEstablished(definition *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range definition.Status.Conditions {
		if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
			return true
		}
	}
	return false
}
