package suite

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Nothing is polled: Argo CD learns of a commit by a push event that is signed with the instance's secret.
func TestWebhookBringsTheNewCommit(t *testing.T) {
	t.Parallel()
	a := deploy(t, shared, "app", "app/all.yaml", workload("Deployment", "checkout", image+"1"))
	a.healthy()
	before := a.revision
	after := a.commit("app/all.yaml", workload("Deployment", "checkout", image+"2"))
	event, err := json.Marshal(map[string]any{
		"ref": "refs/heads/main", "before": before, "after": after,
		"repository": map[string]any{"html_url": strings.TrimSuffix(a.url, ".git"), "default_branch": "main"},
		"commits":    []map[string]any{{"id": after, "modified": []string{"app/all.yaml"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if status := push(t, event, "wrong"); status == http.StatusOK {
		t.Error("a wrong signature was taken")
	}
	if got := a.state().Status.Sync; got.Revision != before || got.Status != "Synced" {
		t.Error("before the webhook", got)
	}
	if status := push(t, event, shared.WebhookSecret); status != http.StatusOK {
		t.Error("the webhook was answered with", status)
	}
	a.until("it is out of sync with the new commit", func(s *state) bool {
		return s.Status.Sync.Revision == after && s.Status.Sync.Status == "OutOfSync"
	})
}

func push(t *testing.T, event []byte, secret string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, shared.URL+"/api/webhook", bytes.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(event)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Event", "push")
	request.Header.Set("X-Hub-Signature-256", fmt.Sprintf("sha256=%x", mac.Sum(nil)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}
