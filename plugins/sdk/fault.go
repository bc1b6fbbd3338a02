package sdk

import "fmt"

// The types of faults: the standard errors of the Open Workflow Specification,
// by their short names.
const (
	FaultConfiguration  = "configuration"
	FaultValidation     = "validation"
	FaultAuthentication = "authentication"
	FaultAuthorization  = "authorization"
	FaultTimeout        = "timeout"
	FaultCommunication  = "communication"
	FaultRuntime        = "runtime"
)

// Fault is a failure that the flow sees and may catch. It quotes no secret and
// no more of a reply than helps.
type Fault struct { //nolint:errname // The specification's word.
	// Type is one of the Fault constants.
	Type string `json:"type"`
	// Status is an HTTP status code; 0 stands for the type's usual one.
	Status int    `json:"status,omitempty"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
}

// Error implements error.
func (f *Fault) Error() string {
	if f.Detail == "" {
		return fmt.Sprintf("%s: %s", f.Type, f.Title)
	}
	return fmt.Sprintf("%s: %s: %s", f.Type, f.Title, f.Detail)
}
