package up

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/argoproj/argo-cd/v3/util/password"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	crds "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// seed makes the cluster what Argo CD runs in. The definitions take the longest, so they are made side by side.
func (u *instance) seed(ctx context.Context, all *manifests) error {
	definitions, err := apiextensions.NewForConfig(u.config)
	if err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	for _, d := range all.definitions {
		work.Go(func() error { return define(ctx, definitions.ApiextensionsV1().CustomResourceDefinitions(), d) })
	}
	work.Go(func() error { return u.configure(ctx, all.configs) })
	return work.Wait()
}

// define returns when kube-apiserver serves the definition.
func define(ctx context.Context, definitions crds.CustomResourceDefinitionInterface, d *apiextensionsv1.CustomResourceDefinition) error {
	found, err := definitions.Create(ctx, d, metav1.CreateOptions{})
	for err == nil && !isEstablished(found) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		found, err = definitions.Get(ctx, d.Name, metav1.GetOptions{})
	}
	return err
}

func isEstablished(definition *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range definition.Status.Conditions {
		if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
			return true
		}
	}
	return false
}

// configure makes the namespace, and in it what Argo CD is told.
func (u *instance) configure(ctx context.Context, configs []*corev1.ConfigMap) error {
	_, err := u.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for _, config := range configs {
		if config.Data == nil {
			config.Data = map[string]string{}
		}
		maps.Copy(config.Data, settings[config.Name])
		if _, err := u.client.CoreV1().ConfigMaps(namespace).Create(ctx, config, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return u.seedSecrets(ctx)
}

// seedSecrets writes what Argo CD keeps for itself, and the cluster that it deploys to.
func (u *instance) seedSecrets(ctx context.Context) error {
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
