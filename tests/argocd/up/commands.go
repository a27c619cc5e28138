package up

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"time"
)

// A command is one line of JSON on stdin.
type command struct {
	Kill  string `json:"kill,omitempty"`  // a part's name: ended at once, as by SIGKILL
	Start string `json:"start,omitempty"` // a killed part's name: started again on the same port
}

// An answer is the one line of JSON on stdout that follows each command.
type answer struct {
	Killed  string  `json:"killed,omitempty"`
	Started string  `json:"started,omitempty"`
	Pid     int     `json:"pid,omitempty"`
	Seconds float64 `json:"seconds,omitempty"` // until the started part answered
	Error   string  `json:"error,omitempty"`
}

// readLines hands on what comes in, and calls `end` when stdin is closed.
func readLines(end func()) <-chan string {
	lines := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			lines <- in.Text()
		}
		end()
	}()
	return lines
}

func (u *instance) obey(ctx context.Context, line string) answer {
	var c command
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		return answer{Error: err.Error()}
	}
	switch {
	case c.Kill != "" && c.Start == "":
		return u.killPart(c.Kill)
	case c.Start != "" && c.Kill == "":
		return u.startPart(ctx, c.Start)
	}
	return answer{Error: `neither {"kill": part} nor {"start": part}: ` + line}
}

func (u *instance) killPart(name string) answer {
	p := u.part(name)
	if p == nil {
		return answer{Error: "no such part: " + name}
	}
	if err := p.kill(); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Killed: name, Pid: p.pid()}
}

func (u *instance) startPart(ctx context.Context, name string) answer {
	p := u.part(name)
	if p == nil {
		return answer{Error: "no such part: " + name}
	}
	begin := time.Now()
	if err := p.start(); err != nil {
		return answer{Error: err.Error()}
	}
	if err := p.await(ctx); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Started: name, Pid: p.pid(), Seconds: time.Since(begin).Seconds()}
}
