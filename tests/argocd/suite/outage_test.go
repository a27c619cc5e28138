package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"syscall"
	"testing"
)

// Each part is killed and started again, one after the other. Then a deploy goes live.
func TestEachPartComesBack(t *testing.T) {
	i := newInstance(t)
	for name, pid := range i.Pids {
		if r := i.tell(t, fmt.Sprintf(`{"kill": %q}`, name)); r.Killed != name || r.Pid != pid {
			t.Fatalf("kill %s: %+v", name, r)
		}
		if runs(pid) {
			t.Errorf("%s runs, although it was killed", name)
		}
		if name == "server" {
			if _, _, err := i.ask(i.Token, http.MethodGet, "/api/version", nil); err == nil {
				t.Error("the server answers, although it was killed")
			}
		}
		r := i.tell(t, fmt.Sprintf(`{"start": %q}`, name))
		if r.Started != name || r.Pid == pid {
			t.Fatalf("start %s: %+v", name, r)
		}
		t.Logf("%s was back after %.1f s", name, r.Seconds)
		if name == "server" {
			if status, text, err := i.ask(i.Token, http.MethodGet, "/api/v1/session/userinfo", nil); err != nil || status != http.StatusOK {
				t.Errorf("the server is back, but: %d %s %v", status, text, err)
			}
		}
	}
	deploy(t, i, "app", "app/all.yaml", workload("Deployment", "checkout", image+"1")).healthy()
}

func TestCommandsThatMakeNoSense(t *testing.T) {
	for _, command := range []string{`{"kill": "nobody"}`, `{"start": "server"}`, `{}`, `kill`, `{"kill": "server", "start": "server"}`} {
		if r := shared.tell(t, command); r.Error == "" {
			t.Errorf("%s: %+v", command, r)
		}
	}
}

// Nothing stays: neither when stdin is closed, nor at a signal, nor (but for the folder) when `up` is killed.
func TestNothingStays(t *testing.T) {
	for _, c := range []struct {
		name   string
		folder bool
		end    func(*instance)
	}{
		{"stdin closed", false, func(i *instance) { _ = i.in.Close() }},
		{"SIGTERM", false, func(i *instance) { _ = i.process.Process.Signal(syscall.SIGTERM) }},
		{"SIGKILL", true, func(i *instance) { _ = i.process.Process.Kill() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newInstance(t)
			c.end(i)
			err := i.process.Wait()
			if (err != nil) != c.folder {
				t.Error("it ended with", err)
			}
			for name, pid := range i.Pids {
				wait(t, name+" is gone", func() bool { return !runs(pid) }, func() string { return fmt.Sprint(pid) })
			}
			_, err = os.Stat(i.Folder)
			if stays := !errors.Is(err, fs.ErrNotExist); stays != c.folder {
				t.Errorf("the folder stays: %v", stays)
			}
			_ = os.RemoveAll(i.Folder)
		})
	}
}

func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }
