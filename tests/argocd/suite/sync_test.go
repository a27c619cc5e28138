package suite

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const image = "registry.example/shop/checkout:"

func TestDeploymentGoesLive(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/deployment.yaml", workload("Deployment", "checkout", image+"1"), "app/service.yaml", service)
	s := a.healthy()
	if !slices.Equal(s.Status.Summary.Images, []string{image + "1"}) {
		t.Error("images", s.Status.Summary.Images)
	}
	for _, resource := range s.Status.OperationState.SyncResult.Resources {
		if resource.Kind == "Deployment" && !slices.Equal(resource.Images, []string{image + "1"}) {
			t.Error("applied", resource.Images)
		}
	}

	// The next commit replaces the Pod, and the old one goes.
	a.sync(a.commit("app/deployment.yaml", workload("Deployment", "checkout", image+"2")))
	a.healthy()
	a.until("only the new image runs", func(s *state) bool { return slices.Equal(s.Status.Summary.Images, []string{image + "2"}) })
	if pods := a.pods(); len(pods) != 1 || pods[0]["Status Reason"] != "Running" || pods[0]["Containers"] != "1/1" {
		t.Error("Pods", pods)
	}
}

// Deleted is deleted: the Pods take their time, and go.
func TestDeletionTakesThePodsAlong(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("Deployment", "checkout", image+"1", "paper/stops-in", "2s"))
	a.healthy()
	path := "/api/v1/applications/" + a.name
	a.must(a.on.AdminToken, http.MethodDelete, path+"?cascade=true&propagationPolicy=foreground", nil)
	wait(t, "the application is gone", func() bool {
		status, _, err := a.on.ask(a.on.AdminToken, http.MethodGet, path+"?project=default", nil)
		return err == nil && status == http.StatusNotFound
	}, func() string { return fmt.Sprint(a.pods()) })
}

func TestStatefulSetWithAVolumeGoesLive(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("StatefulSet", "store", image+"1"))
	a.healthy()
}

func TestDaemonSetGoesLive(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("DaemonSet", "agent", image+"1"))
	a.healthy()
	if len(a.pods()) != 1 {
		t.Error("Pods", a.pods())
	}
}

func TestHelmChartGoesLive(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "chart",
		"chart/Chart.yaml", "apiVersion: v2\nname: checkout\nversion: 1.0.0\nkubeVersion: \">=1.34.0\"\n",
		"chart/values.yaml", "image: {tag: \"1\"}\n",
		"chart/templates/deployment.yaml", strings.ReplaceAll(workload("Deployment", "checkout", "TAG"), "TAG", image+"{{ .Values.image.tag }}"))
	if s := a.healthy(); !slices.Equal(s.Status.Summary.Images, []string{image + "1"}) {
		t.Error("images", s.Status.Summary.Images)
	}
}

func TestKustomizationGoesLive(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app",
		"app/deployment.yaml", workload("Deployment", "checkout", "checkout"),
		"app/kustomization.yaml", "resources: [deployment.yaml]\nimages: [{name: checkout, newName: registry.example/shop/checkout, newTag: \"1\"}]\n")
	if s := a.healthy(); !slices.Equal(s.Status.Summary.Images, []string{image + "1"}) {
		t.Error("images", s.Status.Summary.Images)
	}
}
