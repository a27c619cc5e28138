package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An application is one in Argo CD, with a repository and a namespace of its own.
type application struct {
	*repository
	on       *instance
	name     string
	revision string // the last that was asked for
}

// deploy makes an application of a path of a new repository, and asks for its first sync.
func deploy(t *testing.T, on *instance, path string, files ...string) *application {
	t.Helper()
	r := newRepository(t)
	name := strings.ToLower(t.Name())
	a := &application{repository: r, on: on, name: name}
	first := r.commit(files...)
	a.must(on.AdminToken, http.MethodPost, "/api/v1/applications", map[string]any{
		"metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"project":     "default",
			"source":      map[string]any{"repoURL": r.url, "targetRevision": "main", "path": path},
			"destination": map[string]any{"name": on.Cluster, "namespace": name},
			"syncPolicy":  map[string]any{"syncOptions": []string{"CreateNamespace=true"}},
		},
	})
	a.sync(first)
	return a
}

// What the tests read of an application.
type state struct {
	Status struct {
		Health         struct{ Status string }
		Sync           struct{ Status, Revision string }
		Summary        struct{ Images []string }
		OperationState struct {
			Phase, Message string
			SyncResult     struct {
				Revision  string
				Resources []struct {
					Kind, HookType, Status string
					Images                 []string
				}
			}
		}
	}
}

type tree struct {
	Nodes []struct {
		Kind   string
		Health struct{ Status, Message string }
		Info   []struct{ Name, Value string }
	}
}

// sync asks for exactly one commit, with the bot's own rights.
func (a *application) sync(revision string) {
	a.t.Helper()
	a.revision = revision
	a.must(a.on.Token, http.MethodPost, "/api/v1/applications/"+a.name+"/sync", map[string]any{"revision": revision})
}

func (a *application) state() state {
	var s state
	a.read("/api/v1/applications/"+a.name, &s)
	return s
}

// operation is the phase of the sync that was asked for last.
func (s *state) operation(revision string) string {
	if s.Status.OperationState.SyncResult.Revision != revision {
		return ""
	}
	return s.Status.OperationState.Phase
}

func (a *application) healthy() state {
	a.t.Helper()
	return a.until("it is healthy", func(s *state) bool {
		return s.operation(a.revision) == "Succeeded" && s.Status.Health.Status == "Healthy"
	})
}

// until looks at the application till something is so.
func (a *application) until(what string, is func(*state) bool) state {
	a.t.Helper()
	var s state
	wait(a.t, what, func() bool { s = a.state(); return is(&s) }, func() string {
		return fmt.Sprintf("%+v\n%+v", s, a.tree())
	})
	return s
}

func (a *application) tree() tree {
	var found tree
	a.read("/api/v1/applications/"+a.name+"/resource-tree", &found)
	return found
}

// pods is what the tree says of each Pod, as `Status Reason` and `Restart Count`.
func (a *application) pods() []map[string]string {
	var pods []map[string]string
	for _, node := range a.tree().Nodes {
		if node.Kind != "Pod" {
			continue
		}
		pod := map[string]string{"health": node.Health.Status, "message": node.Health.Message}
		for _, info := range node.Info {
			pod[info.Name] = info.Value
		}
		pods = append(pods, pod)
	}
	return pods
}

// podSays waits for a Pod with a reason.
func (a *application) podSays(reason string) map[string]string {
	a.t.Helper()
	var found map[string]string
	wait(a.t, "a Pod says "+reason, func() bool {
		for _, pod := range a.pods() {
			if pod["Status Reason"] == reason {
				found = pod
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprint(a.pods()) })
	return found
}

func (a *application) read(path string, into any) {
	a.t.Helper()
	if err := json.Unmarshal(a.must(a.on.Token, http.MethodGet, path, nil), into); err != nil {
		a.t.Fatal(err)
	}
}

func (a *application) must(token, method, path string, body any) []byte {
	a.t.Helper()
	status, text, err := a.on.ask(token, method, path, body)
	if err != nil || status != http.StatusOK {
		a.t.Fatalf("%s %s: %d %s %v", method, path, status, text, err)
	}
	return text
}

func (i *instance) ask(token, method, path string, body any) (int, []byte, error) {
	var text io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		text = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, i.URL+path, text)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// wait asks until something is so. It fails with what was there instead.
func wait(t *testing.T, what string, is func() bool, instead func() string) {
	t.Helper()
	const limit = time.Minute
	for until := time.Now().Add(limit); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not within %s: %s\n%s", limit, what, instead())
}
