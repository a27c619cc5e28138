package paper

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusAt says what a bound Pod's status is, and how long that stays so (zero: for good).
func statusAt(pod *corev1.Pod, start, now time.Time, usual time.Duration) (corev1.PodStatus, time.Duration) {
	w := &walk{pod: pod, start: start, since: now.Sub(start), usual: usual, initialized: true}
	status := *pod.Status.DeepCopy()
	status.InitContainerStatuses = nil
	for i := range pod.Spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, w.initContainer(&pod.Spec.InitContainers[i]))
	}
	status.ContainerStatuses = nil
	for i := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, w.container(&pod.Spec.Containers[i]))
	}
	began := metav1.NewTime(start.Truncate(time.Second))
	status.StartTime = &began
	status.ObservedGeneration = pod.Generation
	status.HostIP, status.HostIPs = "127.0.0.1", []corev1.HostIP{{IP: "127.0.0.1"}}
	status.PodIP = address(pod)
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	status.Phase = phase(pod, &status)
	conditions(&status, w.initialized, metav1.NewTime(now.Truncate(time.Second)))
	return status, w.next
}

// A walk goes through the containers of a Pod in their order.
type walk struct {
	pod         *corev1.Pod
	start       time.Time
	since       time.Duration
	usual       time.Duration
	begins      time.Duration // when the next container's turn comes
	initialized bool
	next        time.Duration
}

// never is a turn that does not come: an init container before it hangs.
const never = time.Duration(1<<63 - 1)

func (w *walk) initContainer(c *corev1.Container) corev1.ContainerStatus {
	p := w.process(c)
	if always := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways; always {
		p.ends, p.restarts = false, corev1.RestartPolicyAlways
		return w.status(p)
	}
	p.ends, p.init = true, true
	if p.restarts == corev1.RestartPolicyAlways {
		p.restarts = corev1.RestartPolicyOnFailure
	}
	if p.cause == none && w.pod.Annotations[takesKey] == "" {
		p.takes = 0
	}
	status := w.status(p)
	if p.begins == never {
		return status
	}
	w.begins = never
	for _, m := range p.life(w.since) {
		if m.state.Terminated != nil && m.state.Terminated.ExitCode == 0 {
			w.begins = m.at
		}
	}
	if w.begins > w.since {
		w.initialized = false
	}
	return status
}

func (w *walk) container(c *corev1.Container) corev1.ContainerStatus {
	return w.status(w.process(c))
}

func (w *walk) process(c *corev1.Container) *process {
	what := causeOf(w.pod, c)
	return &process{
		name: c.Name, image: c.Image, cause: what,
		pod:      fmt.Sprintf("%s_%s(%s)", w.pod.Name, w.pod.Namespace, w.pod.UID),
		begins:   w.begins,
		takes:    takes(w.pod, what, w.usual),
		lasts:    lasts(w.pod),
		ends:     w.pod.Spec.RestartPolicy != corev1.RestartPolicyAlways,
		restarts: w.pod.Spec.RestartPolicy,
		start:    w.start,
	}
}

// status reads a container's life at the walk's time.
func (w *walk) status(p *process) corev1.ContainerStatus {
	now := moment{state: waiting("PodInitializing", "")}
	if p.begins != never {
		for _, m := range p.life(w.since) {
			if m.at > w.since {
				w.again(m.at - w.since)
				break
			}
			now = m
		}
	}
	started := now.state.Running != nil
	status := corev1.ContainerStatus{
		Name: p.name, Image: p.image, State: now.state, LastTerminationState: now.last,
		Ready: now.ready, RestartCount: now.restarts, Started: &started,
	}
	if now.state.Waiting == nil || now.last.Terminated != nil {
		status.ImageID = fmt.Sprintf("%s@sha256:%x", nameOf(p.image), sha256.Sum256([]byte(p.image)))
		status.ContainerID = containerID(p.pod, p.name)
	}
	return status
}

func (w *walk) again(in time.Duration) {
	if w.next == 0 || in < w.next {
		w.next = in
	}
}

// phase sums the containers up, in the kubelet's order of what weighs more.
func phase(pod *corev1.Pod, status *corev1.PodStatus) corev1.PodPhase {
	for _, c := range status.InitContainerStatuses {
		if ended := c.State.Terminated; ended != nil && ended.ExitCode != 0 && pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
			return corev1.PodFailed
		}
	}
	var fresh, alive, failed int
	for _, c := range status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.LastTerminationState.Terminated == nil:
			fresh++
		case c.State.Terminated == nil:
			alive++
		case c.State.Terminated.ExitCode != 0 && pod.Spec.RestartPolicy != corev1.RestartPolicyNever:
			alive++ // it will be started again
		case c.State.Terminated.ExitCode != 0:
			failed++
		}
	}
	switch {
	case fresh > 0:
		return corev1.PodPending
	case alive > 0:
		return corev1.PodRunning
	case failed > 0:
		return corev1.PodFailed
	}
	return corev1.PodSucceeded
}

// conditions brings the Pod's conditions in line with its containers.
func conditions(status *corev1.PodStatus, initialized bool, now metav1.Time) {
	var unready []string
	for _, c := range status.ContainerStatuses {
		if !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	initReason, reason, message := "", "", ""
	if !initialized {
		initReason = "ContainersNotInitialized"
	}
	if len(unready) > 0 {
		reason, message = "ContainersNotReady", fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	switch status.Phase {
	case corev1.PodSucceeded:
		initReason, reason, message = "PodCompleted", "PodCompleted", ""
	case corev1.PodFailed:
		reason, message = "PodFailed", ""
	}
	over := status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed
	set(status, corev1.PodReadyToStartContainers, !over, "", "", now)
	set(status, corev1.PodInitialized, initialized, initReason, "", now)
	set(status, corev1.PodReady, len(unready) == 0 && !over, reason, message, now)
	set(status, corev1.ContainersReady, len(unready) == 0 && !over, reason, message, now)
	set(status, corev1.PodScheduled, true, "", "", now)
}

func set(status *corev1.PodStatus, kind corev1.PodConditionType, is bool, reason, message string, now metav1.Time) {
	want := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: now, ObservedGeneration: status.ObservedGeneration}
	if is {
		want.Status = corev1.ConditionTrue
	}
	for i := range status.Conditions {
		if have := &status.Conditions[i]; have.Type == kind {
			if have.Status == want.Status {
				want.LastTransitionTime = have.LastTransitionTime
			}
			*have = want
			return
		}
	}
	status.Conditions = append(status.Conditions, want)
}

// ended is the status of a Pod whose containers were stopped because it was deleted.
func ended(pod *corev1.Pod, now time.Time) corev1.PodStatus {
	status := *pod.Status.DeepCopy()
	at := metav1.NewTime(now.Truncate(time.Second))
	for i := range status.ContainerStatuses {
		c := &status.ContainerStatuses[i]
		c.Ready, c.Started = false, new(bool)
		switch {
		case c.State.Running != nil:
			c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: c.State.Running.StartedAt, FinishedAt: at, ContainerID: c.ContainerID}}
		case c.State.Waiting != nil:
			c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was terminated", FinishedAt: at}}
		}
	}
	status.Phase = corev1.PodSucceeded
	for _, c := range status.ContainerStatuses {
		if c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 {
			status.Phase = corev1.PodFailed
		}
	}
	conditions(&status, true, at)
	return status
}

// address is the Pod's own address, the same each time.
func address(pod *corev1.Pod) string {
	h := sha256.Sum256([]byte(pod.UID))
	return fmt.Sprintf("10.%d.%d.%d", h[0], h[1], h[2]%254+1)
}

func containerID(pod, container string) string {
	return fmt.Sprintf("paper://%x", sha256.Sum256([]byte(pod+"/"+container)))
}

// nameOf is an image without tag and digest.
func nameOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		image = image[:colon]
	}
	return image
}
