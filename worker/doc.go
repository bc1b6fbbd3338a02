// Package worker runs one organization's cell: the process that holds its keys
// for the time of its life, takes events from the inbox (the relay), carries
// the runs in its Temporal namespace, and applies commands.
//
// It may import schema, plugins, workflows and activities; never api.
package worker
