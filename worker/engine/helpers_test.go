package engine_test

import (
	"context"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tenonhq/tenon/schema/task"
)

// countRuns counts the workflows that carry a run.
func countRuns(c client.Client, namespace, run string) (int64, error) {
	answer, err := c.CountWorkflow(context.Background(), &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: namespace,
		Query:     fmt.Sprintf("%s = '%s'", task.RunsAttribute, run),
	})
	return answer.GetCount(), err
}

// codecAnswer reads the data of the one payload in a codec endpoint's answer.
func codecAnswer(text string) (string, error) {
	payloads := new(commonpb.Payloads)
	if err := protojson.Unmarshal([]byte(text), payloads); err != nil {
		return "", err
	}
	if len(payloads.GetPayloads()) != 1 {
		return "", fmt.Errorf("%d payloads instead of one", len(payloads.GetPayloads()))
	}
	return string(payloads.GetPayloads()[0].GetData()), nil
}
