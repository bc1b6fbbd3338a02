package config

// CommandAlert has the cell send a test alert; it has no arguments.
const CommandAlert = "alert"

// AlertTarget is where a namespace's alerts are sent: to a path of a connection
// of the http connector, signed as Standard Webhooks has it.
type AlertTarget struct {
	Connection string   `json:"connection"`
	Path       string   `json:"path"`
	Kinds      []string `json:"kinds"`
	// Secret is "whsec_" and a key in base64.
	Secret string `json:"secret"`
}

// AlertBody is what an alert says: ids and counts, and a sentence for people.
type AlertBody struct {
	// Type is the kind of alert, and Timestamp when it was raised, as RFC 3339.
	Type      string    `json:"type"`
	Timestamp string    `json:"timestamp"`
	Text      string    `json:"text"`
	Data      AlertData `json:"data"`
}

// AlertData names what an alert is about.
type AlertData struct {
	Alert        string `json:"alert"`
	Organization string `json:"organization"`
	Namespace    string `json:"namespace"`
	Flow         string `json:"flow,omitempty"`
	Run          string `json:"run,omitempty"`
	Connection   string `json:"connection,omitempty"`
	// Count is how often it was raised, at least once.
	Count int64 `json:"count"`
}
