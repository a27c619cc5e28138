package rollouts

import (
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// A story follows one rollout of four Pods from version `old` to version `new`, with Pods that are there at once.
type story struct {
	t        *testing.T
	rollout  rollout
	versions map[string]count
	now      time.Time
	broken   bool // Pods of the new version do not get available
}

func begin(t *testing.T, strategy string) *story {
	t.Helper()
	s := &story{t: t, now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), versions: map[string]count{"old": {4, 4, 4}, "new": {}}}
	text := "metadata: {name: checkout}\nspec: {replicas: 4, selector: {matchLabels: {app: checkout}}, strategy: " + strategy + "}\nstatus: {stableRS: old, currentPodHash: old}\n"
	if err := yaml.Unmarshal([]byte(text), &s.rollout); err != nil {
		t.Fatal(err)
	}
	return s
}

// expect decides until nothing changes, and compares phase, message and the number of new Pods.
func (s *story) expect(phase, message string, fresh int32) {
	s.t.Helper()
	for range 20 {
		p := decide(look{rollout: &s.rollout, hash: "new", revision: 2, versions: s.versions, now: s.now})
		s.rollout.Status = p.status
		for version, n := range p.scale {
			s.versions[version] = count{n, n, n}
			if version == "new" && s.broken {
				s.versions[version] = count{replicas: n}
			}
		}
	}
	got := s.rollout.Status
	if got.Phase != phase || got.Message != message || s.versions["new"].replicas != fresh {
		s.t.Fatalf("%s %q, %d new Pods; expected %s %q, %d", got.Phase, got.Message, s.versions["new"].replicas, phase, message, fresh)
	}
}

const canary = "{canary: {steps: [{setWeight: 25}, {pause: {}}, {setWeight: 50}, {pause: {duration: 30s}}]}}"

func TestCanary(t *testing.T) {
	s := begin(t, canary)
	s.expect("Paused", "CanaryPauseStep", 1)
	s.rollout.Status.PauseConditions = nil // resumed
	s.expect("Paused", "CanaryPauseStep", 2)
	s.now = s.now.Add(29 * time.Second)
	s.expect("Paused", "CanaryPauseStep", 2)
	s.now = s.now.Add(time.Second)
	s.expect("Healthy", "", 4)
	if s.rollout.Status.StableRS != "new" || s.versions["old"].replicas != 0 {
		t.Error(s.rollout.Status, s.versions)
	}
}

func TestAbortAndRetry(t *testing.T) {
	s := begin(t, canary)
	s.expect("Paused", "CanaryPauseStep", 1)
	s.rollout.Status.Abort = true
	s.expect("Degraded", "RolloutAborted: Rollout aborted update to revision 2", 0)
	s.rollout.Status.Abort = false
	s.expect("Paused", "CanaryPauseStep", 1)
	s.rollout.Status.PromoteFull = true
	s.expect("Healthy", "", 4)
}

func TestProgressDeadline(t *testing.T) {
	s := begin(t, canary)
	s.broken = true
	s.expect("Progressing", "more replicas need to be updated", 1)
	s.now = s.now.Add(progressDeadline)
	s.expect("Degraded", `ProgressDeadlineExceeded: ReplicaSet "checkout-new" has timed out progressing.`, 1)
}

func TestBlueGreen(t *testing.T) {
	s := begin(t, "{blueGreen: {activeService: checkout, autoPromotionEnabled: false}}")
	s.expect("Paused", "BlueGreenPause", 4)
	if s.rollout.Status.BlueGreen.ActiveSelector != "old" {
		t.Error(s.rollout.Status.BlueGreen)
	}
	s.rollout.Status.PauseConditions = nil
	s.expect("Healthy", "", 4)
	if s.rollout.Status.BlueGreen.ActiveSelector != "new" || s.versions["old"].replicas != 0 {
		t.Error(s.rollout.Status, s.versions)
	}
}

func TestPausedByThePerson(t *testing.T) {
	s := begin(t, canary)
	s.rollout.Spec.Paused = true
	s.expect("Paused", "manually paused", 1)
}
