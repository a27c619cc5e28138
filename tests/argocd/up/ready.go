package up

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// answers is ready when the address answers 200.
func answers(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, response.Status)
		}
		return nil
	}
}

func listens(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return connection.Close()
	}
}

func (u *instance) apiServerReady(ctx context.Context) error {
	return u.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// The first thing that kube-controller-manager makes is a service account in each namespace.
func (u *instance) controllerManagerReady(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		client, err := rest.HTTPClientFor(u.config)
		if err != nil {
			return err
		}
		if err := answers(client, url)(ctx); err != nil {
			return err
		}
		_, err = u.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	}
}

// The process that plays the node says when it begins.
func (u *instance) paperNodeReady(ctx context.Context) error {
	node, err := u.client.CoreV1().Nodes().Get(ctx, "paper", metav1.GetOptions{})
	if err != nil {
		return err
	}
	began := u.part(paperNode).began.Truncate(time.Second)
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue && !c.LastHeartbeatTime.Time.Before(began) {
			return nil
		}
	}
	return fmt.Errorf("the node is not ready")
}
