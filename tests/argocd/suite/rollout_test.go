package suite

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A canary is Suspended at its pause, runs both images, and is healthy when somebody resumed it.
func TestCanaryPausesAndIsResumed(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", canary(image+"1"))
	a.healthy()
	a.sync(a.commit("app/all.yaml", canary(image+"2")))
	s := a.until("it is suspended", func(s *state) bool { return s.Status.Health.Status == "Suspended" && len(s.Status.Summary.Images) == 2 })
	if s.operation(a.revision) != "Succeeded" {
		t.Error("the operation is", s.Status.OperationState)
	}
	a.must(a.on.AdminToken, http.MethodPost, "/api/v1/applications/"+a.name+"/resource/actions/v2", map[string]any{
		"namespace": a.name, "resourceName": "checkout", "group": "argoproj.io", "version": "v1alpha1", "kind": "Rollout", "action": "resume",
	})
	a.healthy()
	a.until("only the new image runs", func(s *state) bool { return slices.Equal(s.Status.Summary.Images, []string{image + "2"}) })
}

func canary(image string) string {
	return strings.NewReplacer("apps/v1", "argoproj.io/v1alpha1", "kind: Deployment", "kind: Rollout", "  replicas: 1",
		"  replicas: 2\n  strategy: {canary: {steps: [{setWeight: 50}, {pause: {}}]}}").Replace(workload("Deployment", "checkout", image))
}
