// Package supervisor is the host: it claims cells by lease, provisions new
// ones through the platform's own workflows, and runs one worker process for
// each, with that cell's keys handed down an inherited socket.
//
// It may import schema, workflows/platform, activities/platform and worker;
// never api.
package supervisor
