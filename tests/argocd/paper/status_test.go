package paper

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A look at a Pod in one line: phase, whether it is ready, then each container.
func line(status corev1.PodStatus) string {
	parts := []string{string(status.Phase)}
	for _, c := range status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			parts = append(parts, "ready")
		}
	}
	for _, c := range append(status.InitContainerStatuses, status.ContainerStatuses...) {
		what := "running"
		if c.State.Waiting != nil {
			what = c.State.Waiting.Reason
		} else if c.State.Terminated != nil {
			what = fmt.Sprintf("%s %d", c.State.Terminated.Reason, c.State.Terminated.ExitCode)
		}
		if c.RestartCount > 0 {
			what += fmt.Sprintf(", %d restarts", c.RestartCount)
		}
		parts = append(parts, c.Name+": "+what)
	}
	return strings.Join(parts, "; ")
}

var start = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func at(pod *corev1.Pod, since time.Duration) corev1.PodStatus {
	status, _ := statusAt(pod, start, start.Add(since), 2*time.Second)
	return status
}

func newPod(policy corev1.RestartPolicy, image string, annotations ...string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "checkout-1", Namespace: "shop", UID: "u", Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{RestartPolicy: policy, Containers: []corev1.Container{{Name: "app", Image: image}}},
	}
	for i := 0; i+1 < len(annotations); i += 2 {
		pod.Annotations[annotations[i]] = annotations[i+1]
	}
	return pod
}

func TestLife(t *testing.T) {
	const always, never, onFailure = corev1.RestartPolicyAlways, corev1.RestartPolicyNever, corev1.RestartPolicyOnFailure
	for _, c := range []struct {
		name string
		pod  *corev1.Pod
		at   time.Duration
		want string
	}{
		{"begins", newPod(always, "checkout:1"), 0, "Pending; app: ContainerCreating"},
		{"runs", newPod(always, "checkout:1"), time.Second, "Running; app: running"},
		{"is ready", newPod(always, "checkout:1"), 2 * time.Second, "Running; ready; app: running"},
		{"is slow", newPod(always, "checkout:slow"), 19 * time.Second, "Running; app: running"},
		{"is there at last", newPod(always, "checkout:slow"), 20 * time.Second, "Running; ready; app: running"},
		{"takes what it says", newPod(always, "checkout:1", "paper/takes", "5s"), 4 * time.Second, "Running; app: running"},
		{"ends well", newPod(never, "migrate:1"), 2 * time.Second, "Succeeded; app: Completed 0"},

		{"a pull fails", newPod(always, "checkout:cannot-pull-1"), time.Second, "Pending; app: ErrImagePull"},
		{"a pull waits", newPod(always, "checkout:cannot-pull-1"), 2 * time.Second, "Pending; app: ImagePullBackOff"},
		{"a pull is tried again", newPod(always, "checkout:cannot-pull-1"), 11 * time.Second, "Pending; app: ErrImagePull"},
		{"a pull waits longer", newPod(always, "checkout:cannot-pull-1"), 30 * time.Second, "Pending; app: ImagePullBackOff"},
		{"a pull works at last", newPod(always, "checkout:cannot-pull-1", "paper/lasts", "15s"), 16 * time.Second, "Running; ready; app: running"},
		{"the annotation wins", newPod(always, "checkout:cannot-pull-1", "paper/cause", "none"), 2 * time.Second, "Running; ready; app: running"},
		{"the registry is no cause", newPod(always, "crash.example/slow/checkout:1"), 2 * time.Second, "Running; ready; app: running"},

		{"a crash", newPod(always, "checkout:crash"), 2 * time.Second, "Running; app: Error 1"},
		{"the first restart is at once", newPod(always, "checkout:crash"), 3 * time.Second, "Running; app: running, 1 restarts"},
		{"the second waits", newPod(always, "checkout:crash"), 5 * time.Second, "Running; app: CrashLoopBackOff, 1 restarts"},
		{"the third waits longer", newPod(always, "checkout:crash"), 20 * time.Second, "Running; app: CrashLoopBackOff, 2 restarts"},
		{"out of memory", newPod(always, "checkout:out-of-memory"), 2 * time.Second, "Running; app: OOMKilled 137"},
		{"recovers", newPod(always, "checkout:1", "paper/cause", "crash", "paper/lasts", "8s"), 9 * time.Second, "Running; ready; app: running, 2 restarts"},
		{"a Job's process fails", newPod(never, "migrate:crash"), 2 * time.Second, "Failed; app: Error 1"},
		{"a Job's process is restarted in its Pod", newPod(onFailure, "migrate:crash"), 5 * time.Second, "Running; app: CrashLoopBackOff, 1 restarts"},

		{"hangs", newPod(always, "checkout:hang"), time.Hour, "Running; app: running"},
		{"hangs in a Job", newPod(never, "migrate:hang"), time.Hour, "Running; app: running"},
		{"hangs for a time", newPod(never, "migrate:hang", "paper/lasts", "9s"), 9 * time.Second, "Succeeded; app: Completed 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := line(at(c.pod, c.at)); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestContainersOfOnePod(t *testing.T) {
	pod := newPod(corev1.RestartPolicyAlways, "checkout:1", "paper/cause", "crash", "paper/container", "sidecar")
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "sidecar", Image: "proxy:1"})
	if got, want := line(at(pod, 5*time.Second)), "Running; app: running; sidecar: CrashLoopBackOff, 1 restarts"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestInitContainersHaveTheirTurn(t *testing.T) {
	pod := newPod(corev1.RestartPolicyAlways, "checkout:1")
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "migrate:1"}}
	if got, want := line(at(pod, 2*time.Second)), "Running; ready; init: Completed 0; app: running"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	pod.Spec.InitContainers[0].Image = "migrate:cannot-pull"
	if got, want := line(at(pod, 3*time.Second)), "Pending; init: ImagePullBackOff; app: PodInitializing"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestWordsAreTheKubelets(t *testing.T) {
	pull := at(newPod(corev1.RestartPolicyAlways, "example.com/checkout:cannot-pull"), 2*time.Second).ContainerStatuses[0].State.Waiting.Message
	if !strings.HasPrefix(pull, `Back-off pulling image "example.com/checkout:cannot-pull": ErrImagePull: rpc error: code = NotFound`) {
		t.Error(pull)
	}
	crash := at(newPod(corev1.RestartPolicyAlways, "checkout:crash"), 5*time.Second)
	if got := crash.ContainerStatuses[0].State.Waiting.Message; got != "back-off 10s restarting failed container=app pod=checkout-1_shop(u)" {
		t.Error(got)
	}
	for _, c := range crash.Conditions {
		if c.Type == corev1.PodReady && c.Message != "containers with unready status: [app]" {
			t.Error(c.Message)
		}
	}
}

// A status is written only when it differs, so nothing in it may change by itself.
func TestNothingChangesBetweenMoments(t *testing.T) {
	pod := newPod(corev1.RestartPolicyAlways, "checkout:crash")
	var since time.Duration
	for range 20 {
		status, again := statusAt(pod, start, start.Add(since), 2*time.Second)
		if again <= 0 {
			t.Fatalf("a crashing container is never done, but after %s nothing follows", since)
		}
		pod.Status = status
		before, _ := statusAt(pod, start, start.Add(since+again-time.Millisecond), 2*time.Second)
		if line(before) != line(status) {
			t.Fatalf("%s changed before its time to %s", line(status), line(before))
		}
		since += again
	}
}
