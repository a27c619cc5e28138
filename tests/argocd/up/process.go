package up

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// readyWithin is far more than a part needs, also on a busy machine.
const readyWithin = time.Minute

// A part is one process of the whole, which can be killed and started again as the same.
type part struct {
	name    string
	program string
	args    []string
	env     []string
	ready   func(context.Context) error // nil when it does its work

	logs   string
	child  *exec.Cmd
	began  time.Time
	ended  chan struct{}
	wanted atomic.Bool // nobody has killed it
}

// start begins the process. The kernel kills it if this process dies, which is why it has to be called from
// the thread that lives as long: the main one.
func (p *part) start() error {
	if p.running() {
		return fmt.Errorf("%s runs already", p.name)
	}
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	child := exec.Command(p.program, p.args...)
	child.Env = p.env
	child.Stdout, child.Stderr = log, log
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p.began = time.Now()
	if err := child.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.child, p.ended = child, ended
	p.wanted.Store(true)
	go func() {
		why := child.Wait()
		if p.wanted.Load() {
			fmt.Fprintf(os.Stderr, "%s has ended by itself: %v\n%s\n", p.name, why, p.lastWords())
		}
		close(ended)
	}()
	return nil
}

func (p *part) running() bool {
	if p.child == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *part) pid() int { return p.child.Process.Pid }

func (p *part) log() string { return filepath.Join(p.logs, p.name+".log") }

// kill ends the process at once, without a word to it, and returns when it is gone.
func (p *part) kill() error {
	if !p.running() {
		return fmt.Errorf("%s does not run", p.name)
	}
	p.wanted.Store(false)
	_ = p.child.Process.Kill()
	<-p.ended
	return nil
}

// await asks until the part is ready. A part that has died is not waited for.
func (p *part) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s has ended by itself", p.name)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastWords is the end of the part's log.
func (p *part) lastWords() string {
	log, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-2000):])
}
