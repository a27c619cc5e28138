// Package paper plays kubelet, scheduler and the provisioner of volumes: Pods run on paper, in the one node
// called `paper`, and their status is written as a real kubelet writes it.
//
// What goes wrong is a cause, and never a script: a test says what is the matter with an image or a Pod, and
// what Kubernetes and Argo CD make of that is theirs.
//
// A cause is named by an annotation on the Pod template, or by the image: an image whose name or tag contains
// the name of a cause has that cause (`checkout:cannot-pull-1a2b3c4`). The annotation wins.
//
//	paper/cause: cannot-pull     the image cannot be pulled: ErrImagePull, ImagePullBackOff
//	             crash           the process exits with 1 soon after it began
//	             out-of-memory   the same, as OOMKilled with 137
//	             hang            the process runs, never gets ready and never ends
//	             unschedulable   no node has room for the Pod
//	             slow            nothing is wrong, but all takes 20 s
//	             none            nothing is wrong, whatever the image is called
//	paper/container: sidecar     only this container has the annotation's cause
//	paper/takes: 5s              until the Pod is ready; or until its process ends, or crashes
//	paper/lasts: 30s             the cause goes away so long after the Pod was created
//	paper/stops-in: 10s          how long the Pod takes to go after it was deleted
//
// A process that ends by itself is one of a Pod with a restartPolicy other than Always: that of a Job. It ends
// well unless it has a cause. So a Job fails by `crash`, and hangs by `hang`.
package paper

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A cause is what is the matter with a container.
type cause string

const (
	none          cause = "none"
	cannotPull    cause = "cannot-pull"
	crash         cause = "crash"
	outOfMemory   cause = "out-of-memory"
	hang          cause = "hang"
	unschedulable cause = "unschedulable"
	slow          cause = "slow"
)

var causes = []cause{cannotPull, crash, outOfMemory, hang, unschedulable, slow}

const (
	causeKey     = "paper/cause"
	containerKey = "paper/container"
	takesKey     = "paper/takes"
	lastsKey     = "paper/lasts"
	stopsInKey   = "paper/stops-in"
)

const (
	slowTakes      = 20 * time.Second
	defaultStopsIn = time.Second
)

// causeOf says what is the matter with one container of a Pod.
func causeOf(pod *corev1.Pod, container *corev1.Container) cause {
	if named := pod.Annotations[causeKey]; named != "" {
		if only := pod.Annotations[containerKey]; only == "" || only == container.Name {
			return cause(named)
		}
	}
	for _, c := range causes {
		if strings.Contains(lastPart(container.Image), string(c)) {
			return c
		}
	}
	return none
}

// isUnschedulable says whether one container keeps the whole Pod from being bound.
func isUnschedulable(pod *corev1.Pod) bool {
	for i := range pod.Spec.Containers {
		if causeOf(pod, &pod.Spec.Containers[i]) == unschedulable {
			return true
		}
	}
	return false
}

// takes says how long a container needs until it is ready, ends or crashes.
func takes(pod *corev1.Pod, c cause, otherwise time.Duration) time.Duration {
	if c == slow {
		otherwise = slowTakes
	}
	return duration(pod, takesKey, otherwise)
}

// lasts says when the cause goes away; zero means never.
func lasts(pod *corev1.Pod) time.Duration { return duration(pod, lastsKey, 0) }

// stopsIn says how long a deleted Pod stays, which is never longer than its grace period.
func stopsIn(pod *corev1.Pod) time.Duration {
	stops := duration(pod, stopsInKey, defaultStopsIn)
	if grace := pod.DeletionGracePeriodSeconds; grace != nil {
		stops = min(stops, time.Duration(*grace)*time.Second)
	}
	return stops
}

func duration(pod *corev1.Pod, key string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(pod.Annotations[key]); err == nil {
		return d
	}
	return otherwise
}

// lastPart is the image without registry and owner: `checkout:1.2` of `example.com/shop/checkout:1.2`.
func lastPart(image string) string {
	return image[strings.LastIndex(image, "/")+1:]
}
