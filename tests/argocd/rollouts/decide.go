package rollouts

import (
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A count is what is there of one version.
type count struct{ replicas, ready, available int32 }

// A look is all that a decision is made from. Versions are named by the hash of their Pod template.
type look struct {
	rollout  *rollout
	hash     string // of the template that is wanted
	revision int
	versions map[string]count
	now      time.Time
}

// A plan says how many Pods each version shall have, what the status is, and when time alone changes something.
type plan struct {
	scale  map[string]int32
	status status
	again  time.Duration
}

// How long a rollout may go on without anything getting better, if it does not say so.
const progressDeadline = 600 * time.Second

// decide makes the next plan. Nothing is asked, and nothing is changed.
func decide(l look) plan {
	p := plan{scale: map[string]int32{}, status: l.rollout.Status}
	s := &p.status
	for version := range l.versions {
		p.scale[version] = 0
	}
	if s.CurrentPodHash != l.hash {
		// Another template: whatever went on before is over.
		s.CurrentPodHash, s.CurrentStepIndex = l.hash, nil
		s.PauseConditions, s.ControllerPause, s.Abort, s.PromoteFull = nil, false, false, false
		s.Conditions = nil
	}
	all := l.rollout.replicas()
	switch {
	case s.StableRS == "" || s.StableRS == l.hash:
		p.scale[l.hash] = all
		p.finishWhenThere(l)
	case s.Abort:
		p.scale[s.StableRS] = all
		s.PauseConditions, s.ControllerPause, s.CurrentStepIndex = nil, false, nil
	case l.rollout.Spec.Strategy.BlueGreen != nil:
		p.blueGreen(l)
	default:
		p.canary(l)
	}
	p.report(l)
	return p
}

// finishWhenThere makes the wanted version the stable one as soon as all of its Pods are available.
func (p *plan) finishWhenThere(l look) {
	if l.versions[l.hash].available < l.rollout.replicas() {
		return
	}
	p.status.StableRS = l.hash
	p.status.PauseConditions, p.status.ControllerPause, p.status.Abort, p.status.PromoteFull = nil, false, false, false
	if steps := l.rollout.steps(); len(steps) > 0 {
		p.step(len(steps))
	}
	if l.rollout.Spec.Strategy.BlueGreen != nil {
		p.status.BlueGreen = &blueGreen{ActiveSelector: l.hash, PreviewSelector: l.hash}
	}
}

func (p *plan) step(index int) {
	at := int32(index)
	p.status.CurrentStepIndex = &at
}

func (p *plan) canary(l look) {
	steps, all := l.rollout.steps(), l.rollout.replicas()
	at := 0
	if p.status.CurrentStepIndex != nil {
		at = int(*p.status.CurrentStepIndex)
	}
	if p.status.PromoteFull {
		at = len(steps)
		p.status.PauseConditions, p.status.ControllerPause = nil, false
	}
	for ; ; at++ {
		p.step(at)
		if at >= len(steps) {
			p.scale[l.hash], p.scale[p.status.StableRS] = all, all-min(all, l.versions[l.hash].available)
			p.finishWhenThere(l)
			return
		}
		share := (all*weightAt(steps, at) + 99) / 100
		p.scale[l.hash], p.scale[p.status.StableRS] = share, all-share
		switch s := steps[at]; {
		case l.rollout.Spec.Paused:
			return
		case s.SetWeight != nil && l.versions[l.hash].available < share:
			return
		case s.Pause != nil && !p.pauseIsOver(l, "CanaryPauseStep", pauseLength(s)):
			return
		}
	}
}

// weightAt is the last weight that was set up to a step.
func weightAt(steps []step, at int) int32 {
	weight := int32(0)
	for _, s := range steps[:at+1] {
		if s.SetWeight != nil {
			weight = *s.SetWeight
		}
	}
	return weight
}

func (p *plan) blueGreen(l look) {
	all := l.rollout.replicas()
	p.scale[l.hash], p.scale[p.status.StableRS] = all, all
	if p.status.BlueGreen == nil {
		p.status.BlueGreen = &blueGreen{ActiveSelector: p.status.StableRS}
	}
	p.status.BlueGreen.PreviewSelector = l.hash
	if l.versions[l.hash].available < all || l.rollout.Spec.Paused {
		return
	}
	byItself := l.rollout.Spec.Strategy.BlueGreen.AutoPromotionEnabled
	if p.status.PromoteFull || byItself == nil || *byItself || p.pauseIsOver(l, "BlueGreenPause", 0) {
		p.finishWhenThere(l)
	}
}

// pauseIsOver begins a pause, or ends it: when its time is over (zero: it has none), or when somebody took the
// condition away, which is how a pause is resumed.
func (p *plan) pauseIsOver(l look, reason string, length time.Duration) bool {
	s := &p.status
	if !s.ControllerPause {
		s.ControllerPause = true
		s.PauseConditions = []pauseCondition{{Reason: reason, StartTime: metav1.NewTime(l.now.Truncate(time.Second))}}
	}
	over := len(s.PauseConditions) == 0
	if !over && length > 0 {
		left := s.PauseConditions[0].StartTime.Add(length).Sub(l.now)
		over = left <= 0
		p.again = max(left, 0)
	}
	if over {
		s.PauseConditions, s.ControllerPause = nil, false
	}
	return over
}

func pauseLength(s step) time.Duration {
	if s.Pause.Duration == nil {
		return 0
	}
	text := s.Pause.Duration.String()
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second
	}
	length, _ := time.ParseDuration(text)
	return length
}

// report counts, and names the phase in Argo Rollouts' own words.
func (p *plan) report(l look) {
	s := &p.status
	before := count{s.Replicas, s.UpdatedReplicas, s.AvailableReplicas}
	s.ObservedGeneration = strconv.FormatInt(l.rollout.Generation, 10)
	s.Replicas, s.ReadyReplicas, s.AvailableReplicas = 0, 0, 0
	for _, c := range l.versions {
		s.Replicas += c.replicas
		s.ReadyReplicas += c.ready
		s.AvailableReplicas += c.available
	}
	s.UpdatedReplicas = l.versions[l.hash].replicas
	s.HPAReplicas = s.Replicas
	s.Selector = metav1.FormatLabelSelector(l.rollout.Spec.Selector)

	s.Phase, s.Message = p.phase(l)
	kind := condition{Type: "Progressing", Status: "True", Reason: "ReplicaSetUpdated", Message: s.Message}
	switch {
	case s.Phase == "Healthy":
		kind.Reason = "NewReplicaSetAvailable"
	case s.Abort:
		kind.Status, kind.Reason = "False", "RolloutAborted"
		kind.Message = fmt.Sprintf("Rollout aborted update to revision %d", l.revision)
	case s.Phase == "Paused":
		kind.Status, kind.Reason = "Unknown", "RolloutPaused"
	}
	since := l.now
	if len(s.Conditions) > 0 && s.Conditions[0].Reason != "RolloutPaused" && before == (count{s.Replicas, s.UpdatedReplicas, s.AvailableReplicas}) {
		since = s.Conditions[0].LastUpdateTime.Time
	}
	if s.Phase == "Progressing" {
		limit := progressDeadline
		if seconds := l.rollout.Spec.ProgressDeadlineSeconds; seconds != nil {
			limit = time.Duration(*seconds) * time.Second
		}
		if left := since.Add(limit).Sub(l.now); left > 0 {
			p.again = left
		} else {
			kind.Status, kind.Reason = "False", "ProgressDeadlineExceeded"
			kind.Message = fmt.Sprintf("ReplicaSet %q has timed out progressing.", l.rollout.Name+"-"+l.hash)
		}
	}
	if kind.Status == "False" {
		s.Phase, s.Message = "Degraded", kind.Reason+": "+kind.Message
	}
	kind.LastUpdateTime = metav1.NewTime(since.Truncate(time.Second))
	kind.LastTransitionTime = kind.LastUpdateTime
	s.Conditions = []condition{kind}
}

func (p *plan) phase(l look) (phase, message string) {
	s := &p.status
	switch {
	case l.rollout.Spec.Paused:
		return "Paused", "manually paused"
	case len(s.PauseConditions) > 0:
		return "Paused", s.PauseConditions[0].Reason
	case s.UpdatedReplicas < l.rollout.replicas():
		return "Progressing", "more replicas need to be updated"
	case l.versions[l.hash].available < s.UpdatedReplicas:
		return "Progressing", "updated replicas are still becoming available"
	case s.Replicas > s.UpdatedReplicas && l.rollout.Spec.Strategy.BlueGreen == nil:
		return "Progressing", "old replicas are pending termination"
	case s.StableRS != l.hash && l.rollout.Spec.Strategy.BlueGreen != nil:
		return "Progressing", "active service cutover pending"
	case s.StableRS != l.hash:
		return "Progressing", "waiting for all steps to complete"
	}
	return "Healthy", ""
}
