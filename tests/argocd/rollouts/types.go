// Package rollouts plays the controller of Argo Rollouts: canary by the number of Pods, and blue-green, with
// pauses, promotion, abort and the progress deadline. There is no analysis, no experiment and no traffic
// routing: such steps are passed over.
//
// The definition of a Rollout is Argo Rollouts' own, so that Argo CD's health check and its actions (resume,
// abort, retry, promote-full) find what they look for.
package rollouts

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A rollout is what this controller reads and writes of one.
type rollout struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              spec   `json:"spec"`
	Status            status `json:"status"`
}

type spec struct {
	Replicas                *int32                 `json:"replicas"`
	Selector                *metav1.LabelSelector  `json:"selector"`
	Template                corev1.PodTemplateSpec `json:"template"`
	Paused                  bool                   `json:"paused"`
	ProgressDeadlineSeconds *int32                 `json:"progressDeadlineSeconds"`
	Strategy                struct {
		Canary *struct {
			Steps []step `json:"steps"`
		} `json:"canary"`
		BlueGreen *struct {
			AutoPromotionEnabled *bool `json:"autoPromotionEnabled"`
		} `json:"blueGreen"`
	} `json:"strategy"`
}

// A step is one of a canary. What is neither a weight nor a pause is passed over.
type step struct {
	SetWeight *int32 `json:"setWeight"`
	Pause     *struct {
		Duration *intstr.IntOrString `json:"duration"`
	} `json:"pause"`
}

type status struct {
	ObservedGeneration string           `json:"observedGeneration,omitempty"`
	Phase              string           `json:"phase,omitempty"`
	Message            string           `json:"message,omitempty"`
	CurrentPodHash     string           `json:"currentPodHash,omitempty"`
	StableRS           string           `json:"stableRS,omitempty"`
	CurrentStepIndex   *int32           `json:"currentStepIndex,omitempty"`
	PauseConditions    []pauseCondition `json:"pauseConditions,omitempty"`
	ControllerPause    bool             `json:"controllerPause,omitempty"`
	Abort              bool             `json:"abort,omitempty"`
	PromoteFull        bool             `json:"promoteFull,omitempty"`
	Replicas           int32            `json:"replicas,omitempty"`
	UpdatedReplicas    int32            `json:"updatedReplicas,omitempty"`
	ReadyReplicas      int32            `json:"readyReplicas,omitempty"`
	AvailableReplicas  int32            `json:"availableReplicas,omitempty"`
	HPAReplicas        int32            `json:"HPAReplicas,omitempty"`
	Selector           string           `json:"selector,omitempty"`
	BlueGreen          *blueGreen       `json:"blueGreen,omitempty"`
	Conditions         []condition      `json:"conditions,omitempty"`
}

type pauseCondition struct {
	Reason    string      `json:"reason"`
	StartTime metav1.Time `json:"startTime"`
}

type blueGreen struct {
	ActiveSelector  string `json:"activeSelector,omitempty"`
	PreviewSelector string `json:"previewSelector,omitempty"`
}

type condition struct {
	Type               string      `json:"type"`
	Status             string      `json:"status"`
	Reason             string      `json:"reason"`
	Message            string      `json:"message"`
	LastUpdateTime     metav1.Time `json:"lastUpdateTime"`
	LastTransitionTime metav1.Time `json:"lastTransitionTime"`
}

func (r *rollout) replicas() int32 {
	if r.Spec.Replicas == nil {
		return 1
	}
	return *r.Spec.Replicas
}

func (r *rollout) steps() []step {
	if r.Spec.Strategy.Canary == nil {
		return nil
	}
	return r.Spec.Strategy.Canary.Steps
}
