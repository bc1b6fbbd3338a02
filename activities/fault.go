package activities

import (
	"encoding/json"
	"strings"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// problem is an error object of the specification.
type problem struct {
	Type     string `json:"type"`
	Status   int    `json:"status"`
	Instance string `json:"instance,omitempty"`
	Title    string `json:"title,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// faultSuffix marks the value that holds a step's error object.
const faultSuffix = "^e"

// faulted makes the record of a step that failed. The workflow sees type and
// status only; the text stays in the journal.
func faulted(req task.StepRequest, p problem) task.Record {
	if p.Instance == "" {
		p.Instance = req.Pointer
	}
	p.Type = clip(flow.ErrorType(p.Type), maxFaultType)
	if p.Status == 0 {
		p.Status = flow.ErrorStatus(p.Type)
	}
	// A flow's own texts are bounded, so that an error always fits its run.
	p.Instance, p.Title, p.Detail = clip(p.Instance, maxFaultType), clip(p.Title, maxFaultType), clip(p.Detail, maxFaultText)
	object, err := json.Marshal(p)
	if err != nil {
		object = json.RawMessage(`{}`)
	}
	ref := task.Ref(req.Key + faultSuffix)
	return task.Record{
		Result: task.StepResult{
			Context: req.Context,
			Fault:   &task.Fault{Type: p.Type, Status: p.Status, Instance: p.Instance, Ref: ref},
		},
		Values: map[task.Ref]json.RawMessage{ref: object},
	}
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

func fromEvaluation(f *evaluate.Fault) problem {
	return problem{Type: f.Type, Title: "The expression or schema could not be satisfied", Detail: f.Detail}
}

func fromConnector(f *sdk.Fault) problem {
	return problem{Type: f.Type, Status: f.Status, Title: f.Title, Detail: f.Detail}
}
