package activities

import (
	"context"
	"errors"
	"slices"

	"github.com/tenonhq/tenon/schema/task"
)

// Recall answers one page of what the journal holds of a run, in the order of
// the keys (activity [task.Recall]).
func (e *Executor) Recall(ctx context.Context, req task.RecallRequest) (task.RecallResult, error) {
	st, err := e.state(ctx, req.Owner, true)
	if errors.Is(err, errStopped) {
		return task.RecallResult{Stopped: true}, nil
	}
	if err != nil {
		return task.RecallResult{}, err
	}
	now := e.now()
	st.mu.Lock()
	defer st.mu.Unlock()
	keys := make([]string, 0, len(st.records))
	for k := range st.records {
		if k > req.After {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var page task.RecallResult
	if len(keys) > task.RecallPage {
		keys = keys[:task.RecallPage]
		page.Next = keys[len(keys)-1]
	}
	for _, k := range keys {
		page.Steps = append(page.Steps, task.Recalled{Key: k, Result: st.records[k].At(now)})
	}
	return page, nil
}
