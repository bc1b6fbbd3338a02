// Package cli shows, with the real programs, that Temporal's own tools work on
// an engine for an operator who is authorized, and for nobody else: `temporal`
// v1.5.1 and `tctl` v1.18.0 list, show, signal and cancel a run, decoded
// through a codec endpoint.
//
// The tools are built by exact version, once, into the user's cache directory;
// the first time that takes minutes and the module proxy.
//
// How to use them by hand, with a token from `tenon operator-token`:
//
//	export TEMPORAL_ADDRESS=… TEMPORAL_NAMESPACE=org_… TEMPORAL_API_KEY=$TOKEN TEMPORAL_TLS=false
//	export TEMPORAL_CODEC_ENDPOINT=…/v1/codec TEMPORAL_CODEC_AUTH="Bearer $TOKEN"
//	temporal workflow list --query "TenonRuns = 'run_…'"
//
//	export TEMPORAL_CLI_ADDRESS=… TEMPORAL_CLI_NAMESPACE=org_… TEMPORAL_CLI_AUTH="Bearer $TOKEN"
//	export TEMPORAL_CLI_CODEC_ENDPOINT=…/v1/codec TEMPORAL_CLI_CODEC_AUTH="Bearer $TOKEN"
//	tctl workflow list --query "TenonRuns = 'run_…'"
//
// tctl has been out of support since September 2025. What it cannot do here:
//
//   - `tctl admin …` and `tctl cluster …`: the engine's administrative service
//     is closed to every token, and lists across the cluster to operators.
//   - `tctl namespace list`: an operator sees the namespaces of the own token,
//     one at a time, with `tctl namespace describe`.
//   - `tctl batch`, `batch-v2`, `workflow reset`, `workflow run`, `workflow
//     start`, `schedule create`: an operator starts nothing; Tenon does.
//   - A signal with an input: tctl decodes through the codec endpoint and does
//     not encode. A cell drops a signal whose input it did not seal, and says
//     so in its log. Signals without input arrive.
//   - It knows nothing of what Temporal gained after 1.18: workflow updates,
//     worker deployments, user metadata, Nexus. Events of those kinds in a
//     history appear by number, or not at all.
//
// It imports anything of ours, and nothing imports it.
package cli
