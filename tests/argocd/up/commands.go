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
	Kube  *ask   `json:"kube,omitempty"`  // a question to kube-apiserver, as a cluster admin
}

// An ask is one request to kube-apiserver.
type ask struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`           // with its query
	Type   string          `json:"type,omitempty"` // of the body, if it is not plain JSON: that of a patch
	Body   json.RawMessage `json:"body,omitempty"`
}

// An answer is the one line of JSON on stdout that follows each command.
type answer struct {
	Killed  string  `json:"killed,omitempty"`
	Started string  `json:"started,omitempty"`
	Pid     int     `json:"pid,omitempty"`
	Seconds float64 `json:"seconds,omitempty"` // until the started part answered
	Status  int     `json:"status,omitempty"`  // of kube-apiserver's answer
	Body    any     `json:"body,omitempty"`    // that answer
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
	switch kill, start, kube := c.Kill != "", c.Start != "", c.Kube != nil; {
	case kill && !start && !kube:
		return u.killPart(c.Kill)
	case start && !kill && !kube:
		return u.startPart(ctx, c.Start)
	case kube && !kill && !start:
		return u.askKube(ctx, c.Kube)
	}
	return answer{Error: `neither a kill, nor a start, nor a kube, or more than one: ` + line}
}

func (u *instance) askKube(ctx context.Context, a *ask) answer {
	request := u.client.Discovery().RESTClient().Verb(a.Method).RequestURI(a.Path)
	if len(a.Body) > 0 {
		kind := a.Type
		if kind == "" {
			kind = "application/json"
		}
		request = request.SetHeader("Content-Type", kind).Body([]byte(a.Body))
	}
	var status int
	text, err := request.Do(ctx).StatusCode(&status).Raw()
	if status == 0 && err != nil {
		return answer{Error: err.Error()}
	}
	var body any
	if json.Unmarshal(text, &body) != nil {
		body = string(text)
	}
	return answer{Status: status, Body: body}
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
