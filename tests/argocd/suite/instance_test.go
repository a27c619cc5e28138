package suite

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"real-argocd/up"
)

// An instance is one `up` that runs.
type instance struct {
	up.Ready
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func begin() (*instance, error) {
	process := exec.Command(binary(), "up")
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	i := &instance{process: process, in: in, out: bufio.NewReader(out)}
	return i, i.read(&i.Ready)
}

// newInstance is one that a test may do to what it wants.
func newInstance(t *testing.T) *instance {
	t.Helper()
	i, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.end() })
	return i
}

func (i *instance) read(into any) error {
	line, err := i.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no line: %w", err)
	}
	return json.Unmarshal(line, into)
}

// end closes stdin and waits.
func (i *instance) end() error {
	_ = i.in.Close()
	return i.process.Wait()
}

type reply struct {
	Killed, Started, Error string
	Pid                    int
	Seconds                float64
}

// tell sends one command and reads its answer.
func (i *instance) tell(t *testing.T, command string) reply {
	t.Helper()
	if _, err := fmt.Fprintln(i.in, command); err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := i.read(&r); err != nil {
		t.Fatal(err)
	}
	return r
}
