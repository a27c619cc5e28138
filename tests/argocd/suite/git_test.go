package suite

import (
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A repository is real git, served over HTTP as a forge does.
type repository struct {
	t      *testing.T
	folder string
	url    string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	root := t.TempDir()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	})
	t.Cleanup(server.Close)
	r := &repository{t: t, folder: filepath.Join(root, "shop.git"), url: server.URL + "/shop.git"}
	r.git("init", "--quiet", "--initial-branch=main", r.folder)
	r.git("-C", r.folder, "config", "uploadpack.allowAnySHA1InWant", "true")
	return r
}

// commit writes files, given as path and text in turn, and returns the commit's id.
func (r *repository) commit(files ...string) string {
	r.t.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(r.folder, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("-C", r.folder, "add", "--all")
	r.git("-C", r.folder, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "Change")
	return r.git("-C", r.folder, "rev-parse", "HEAD")
}

func (r *repository) git(args ...string) string {
	r.t.Helper()
	out, err := exec.Command("git", args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
