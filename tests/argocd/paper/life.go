package paper

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A moment is when something changes in the life of a container. Times count from the Pod's start.
type moment struct {
	at       time.Duration
	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	ready    bool
}

// A process is what decides the life of a container.
type process struct {
	name, image string
	pod         string // as a kubelet names it in messages
	cause       cause
	begins      time.Duration // when its turn comes: after the init containers
	takes       time.Duration
	lasts       time.Duration // zero: the cause never goes away
	ends        bool          // a run to completion, as in a Job
	init        bool          // an init container, which is ready when it has ended well
	restarts    corev1.RestartPolicy
	start       time.Time
}

// How a kubelet waits between two tries: 10 s, doubled each time up to 5 minutes.
const (
	firstBackOff = 10 * time.Second
	longBackOff  = 5 * time.Minute
)

// How long a kubelet shows the failure itself before it says that it waits.
const shown = time.Second

// life lists the moments of a container up to a time, and the first one after that.
func (p *process) life(until time.Duration) []moment {
	moments := []moment{{at: 0, state: waiting("ContainerCreating", "")}}
	if p.begins > 0 {
		moments[0].state = waiting("PodInitializing", "")
	}
	switch p.cause {
	case cannotPull:
		moments = p.pulls(moments, until)
	case crash, outOfMemory:
		moments = p.crashes(moments, until)
	default:
		return p.runs(moments, p.begins+p.takes/2)
	}
	if p.lasts == 0 {
		return moments
	}
	return p.recovers(moments)
}

// runs adds a life in which nothing fails: it runs from a time on, and is ready or ends when it has taken its time.
func (p *process) runs(moments []moment, from time.Duration) []moment {
	before := moments[len(moments)-1]
	began := p.at(from)
	running := moment{at: from, state: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}, last: before.last, restarts: before.restarts}
	moments = append(moments, running)
	done := from + p.takes/2
	if p.cause == hang {
		if p.lasts == 0 {
			return moments
		}
		done = max(done, p.lasts)
	}
	after := running
	after.at = done
	if p.ends {
		after.state = p.exited(from, done, 0, "Completed")
	}
	after.ready = !p.ends || p.init
	return append(moments, after)
}

// pulls adds the tries to pull an image that is not there.
func (p *process) pulls(moments []moment, until time.Duration) []moment {
	why := fmt.Sprintf("rpc error: code = NotFound desc = failed to pull and unpack image %q: failed to resolve reference %q: %s: not found", p.image, p.image, p.image)
	wait := firstBackOff
	for at := p.begins + p.takes/2; ; at += wait {
		moments = append(moments,
			moment{at: at, state: waiting("ErrImagePull", why)},
			moment{at: at + shown, state: waiting("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", p.image, why))})
		if at > until {
			return moments
		}
		if at > p.begins+p.takes/2 {
			wait = min(2*wait, longBackOff)
		}
	}
}

// crashes adds the runs of a process that exits, and is started again as the Pod says.
func (p *process) crashes(moments []moment, until time.Duration) []moment {
	code, reason := int32(1), "Error"
	if p.cause == outOfMemory {
		code, reason = 137, "OOMKilled"
	}
	var last corev1.ContainerState
	var wait time.Duration
	run := max(p.takes/2, shown)
	at := p.begins + p.takes/2
	for n := int32(0); ; n++ {
		ended := p.exited(at, at+run, code, reason)
		moments = append(moments,
			moment{at: at, state: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: p.at(at)}}, last: last, restarts: n},
			moment{at: at + run, state: ended, last: last, restarts: n})
		if p.restarts == corev1.RestartPolicyNever || at > until {
			return moments
		}
		last = ended
		at += run + shown
		// The first restart is at once; from the second on the kubelet waits.
		if n > 0 {
			wait = min(max(2*wait, firstBackOff), longBackOff)
			why := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", wait, p.name, p.pod)
			moments = append(moments, moment{at: at, state: waiting("CrashLoopBackOff", why), last: ended, restarts: n})
			at += wait
		}
	}
}

// recovers cuts a life where the cause goes away, and lets the container run from there.
func (p *process) recovers(moments []moment) []moment {
	kept := 0
	for kept < len(moments) && moments[kept].at < p.lasts {
		kept++
	}
	if kept == 0 {
		kept = 1
	}
	moments = moments[:kept]
	last := moments[kept-1]
	if ended := last.state.Terminated; ended != nil {
		if p.restarts == corev1.RestartPolicyNever {
			return moments
		}
		last.last = last.state
	}
	if last.last.Terminated != nil && last.state.Running == nil {
		last.restarts++
	}
	well := *p
	well.cause = none
	grown := well.runs([]moment{last}, max(p.lasts, p.begins))
	return append(moments, grown[1:]...)
}

func (p *process) exited(from, to time.Duration, code int32, reason string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, StartedAt: p.at(from), FinishedAt: p.at(to), ContainerID: containerID(p.pod, p.name),
	}}
}

func (p *process) at(d time.Duration) metav1.Time {
	// The API keeps whole seconds: what is compared later must not have more.
	return metav1.NewTime(p.start.Add(d).Truncate(time.Second))
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}
