package suite

import (
	"net/http"
	"strings"
	"testing"
)

func TestImageThatCannotBePulled(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("Deployment", "checkout", image+"cannot-pull-1"))
	pod := a.podSays("ImagePullBackOff")
	if pod["health"] != "Degraded" || !strings.Contains(pod["message"], "Back-off pulling image") {
		t.Error(pod)
	}
	if s := a.state(); s.Status.Health.Status != "Progressing" {
		t.Error("the Deployment has time until its progress deadline, but it is", s.Status.Health.Status)
	}

	// The way back.
	a.sync(a.commit("app/all.yaml", workload("Deployment", "checkout", image+"2")))
	a.healthy()
}

func TestContainerThatCrashes(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("StatefulSet", "checkout", image+"1", "paper/cause", "crash"))
	if pod := a.podSays("CrashLoopBackOff"); pod["Restart Count"] == "" {
		t.Error(pod)
	}
}

func TestPodThatNoNodeHasRoomFor(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("Deployment", "checkout", image+"1", "paper/cause", "unschedulable", "paper/lasts", "6s"))
	a.podSays("Pending")
	a.healthy()
}

func TestPodThatIsSlow(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("Deployment", "checkout", image+"1", "paper/takes", "6s"))
	a.until("it is progressing after the sync", func(s *state) bool {
		return s.operation(a.revision) == "Succeeded" && s.Status.Health.Status == "Progressing"
	})
	a.healthy()
}

func TestJobThatFails(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("Deployment", "checkout", image+"1"), "app/job.yaml", job("migrate", "PreSync", image+"crash"))
	a.until("the sync fails", func(s *state) bool { return s.operation(a.revision) == "Failed" })
}

func TestJobThatHangs(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("Deployment", "checkout", image+"1"), "app/job.yaml", job("notify", "PostSync", image+"hang"))
	a.until("the app is healthy, and the sync is not over", func(s *state) bool {
		return s.operation(a.revision) == "Running" && s.Status.Health.Status == "Healthy" && strings.Contains(s.Status.OperationState.Message, "notify")
	})
	a.must(a.on.Token, http.MethodDelete, "/api/v1/applications/"+a.name+"/operation", nil)
	a.until("it ends when it is terminated", func(s *state) bool { return s.operation(a.revision) == "Failed" })
}

func TestJobThatEndsWell(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("Deployment", "checkout", image+"1"), "app/job.yaml", job("migrate", "PreSync", image+"1"))
	a.healthy()
}
