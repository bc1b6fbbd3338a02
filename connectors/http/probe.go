package http

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tenonhq/tenon/plugins/sdk"
)

// test is the action that shows whether the connection's credential works. A
// system that answers anything but success has not shown it.
func test(ctx context.Context, call *sdk.Call) (any, error) {
	set, err := parseSettings(call.Settings)
	if err != nil {
		return nil, err
	}
	if set.BaseURL == "" || set.TestPath == "" {
		return nil, invalid(sdk.FaultConfiguration, "The connection has no address to try the credential at", "")
	}
	req, err := build(set, arguments{Method: http.MethodGet, Endpoint: endpoint(set.TestPath)})
	if err != nil {
		return nil, err
	}
	resp, err := call.HTTP(ctx, req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.Status >= 200 && resp.Status <= 299:
		return map[string]int{"status": resp.Status}, nil
	case resp.Status == http.StatusUnauthorized, resp.Status == http.StatusForbidden, resp.Status == http.StatusProxyAuthRequired:
		// The answer's text stays out: it is shown to who enters credentials, and says no more.
		return nil, &sdk.Fault{
			Type: sdk.FaultAuthentication, Status: resp.Status, Title: "The system refused the credential",
			Detail: fmt.Sprintf("it answered %d at the test address", resp.Status),
		}
	}
	return nil, &sdk.Fault{
		Type: sdk.FaultCommunication, Status: resp.Status, Title: "The test address does not show whether the credential works",
		Detail: fmt.Sprintf("it answered %d; set test_path to one that answers 200 to a valid credential", resp.Status),
	}
}
