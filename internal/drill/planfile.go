package drill

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"go.yaml.in/yaml/v4"
)

const (
	// maxPlan bounds a plan's file, in bytes.
	maxPlan = 1 << 20
	// maxLasting bounds one fault, and one wait.
	maxLasting = time.Hour
)

// planFile is a plan as it is written down:
//
//	repeat: true
//	steps:
//	- {wait: 2s, kill: redis-1, for: 1s}
//	- {pause: worker, for: 20s}
//	- {exec: [kubectl, delete, pod, popeye-poll-0], for: 5s, undo: [...]}
type planFile struct {
	// Repeat: begin again behind the last step.
	Repeat bool       `yaml:"repeat"`
	Steps  []planStep `yaml:"steps"`
}

// planStep is one step: a wait, or one action with its target. A target without
// a number is any part of that kind.
type planStep struct {
	Wait    time.Duration `yaml:"wait"`
	For     time.Duration `yaml:"for"`
	Kill    string        `yaml:"kill"`
	Restart string        `yaml:"restart"`
	Pause   string        `yaml:"pause"`
	Cut     string        `yaml:"cut"`
	Freeze  string        `yaml:"freeze"`
	Mute    string        `yaml:"mute"`
	Wipe    string        `yaml:"wipe"`
	Exec    []string      `yaml:"exec"`
	Undo    []string      `yaml:"undo"`
}

// readPlan reads a plan from a file.
func readPlan(file string) (planFile, error) {
	var plan planFile
	source, err := os.Open(file)
	if err != nil {
		return plan, fmt.Errorf("there is no plan of that name, and the file cannot be read: %w", err)
	}
	defer func() { _ = source.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(source, maxPlan))
	if err != nil {
		return plan, fmt.Errorf("read the plan: %w", err)
	}
	if err := yaml.Load(text, &plan, yaml.WithKnownFields()); err != nil {
		return plan, fmt.Errorf("read the plan %s: %w", file, err)
	}
	return plan, nil
}

// resolve returns the plan's steps, or what is wrong with them.
func (f planFile) resolve(p *planner) (iter.Seq[Step], error) {
	var steps []Step
	var lasting time.Duration
	for i, written := range f.Steps {
		s, err := written.resolve(p)
		if err != nil {
			return nil, fmt.Errorf("step %d of the plan: %w", i+1, err)
		}
		steps = append(steps, s)
		lasting += s.Wait + s.For
	}
	if f.Repeat && lasting == 0 {
		return nil, errors.New("a plan that repeats needs a step with wait or for")
	}
	return func(yield func(Step) bool) {
		for {
			for _, s := range steps {
				if s.Action != Exec {
					s.Target = p.anyOf(s.Target)
				}
				if !yield(s) {
					return
				}
			}
			if !f.Repeat {
				return
			}
		}
	}, nil
}

// actions returns what the step says to do, by action.
func (s planStep) actions() map[Action]string {
	all := map[Action]string{
		Kill: s.Kill, Restart: s.Restart, Pause: s.Pause, Cut: s.Cut, Freeze: s.Freeze, Mute: s.Mute, Wipe: s.Wipe,
	}
	for action, target := range all {
		if target == "" {
			delete(all, action)
		}
	}
	if len(s.Exec) > 0 {
		all[Exec] = s.Exec[0]
	}
	return all
}

func (s planStep) resolve(p *planner) (Step, error) {
	if s.Wait < 0 || s.Wait > maxLasting || s.For < 0 || s.For > maxLasting {
		return Step{}, fmt.Errorf("wait and for must be 0 to %s", maxLasting)
	}
	actions := s.actions()
	if len(actions) > 1 {
		return Step{}, errors.New("there is more than one action")
	}
	step := Step{Wait: s.Wait, For: s.For, Exec: s.Exec, Undo: s.Undo}
	for action, target := range actions {
		step.Action, step.Target = action, target
		if action != Exec && !p.has(target) {
			return Step{}, fmt.Errorf("there is no part %q", target)
		}
	}
	if step.Action == "" && s.Wait == 0 {
		return Step{}, errors.New("there is nothing to do")
	}
	return step, nil
}

// has reports whether there is a part of that name, or any of that kind.
func (p *planner) has(target string) bool {
	for k, n := range p.size {
		if target == string(k) {
			return n > 0
		}
		for i := range n {
			if target == fmt.Sprintf("%s-%d", k, i+1) && k != kindPostgres {
				return true
			}
		}
	}
	return false
}
