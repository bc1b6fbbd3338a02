package engine

import (
	"time"

	"go.temporal.io/server/common/dynamicconfig"

	"github.com/tenonhq/tenon/workflows/platform"
)

// unthrottled is a rate that no machine reaches: tenants are limited where
// they come in, at the API, and by their cell's own pace.
const unthrottled = 1_000_000

// dynamic returns the server's dynamic configuration. The server keeps
// converted values by pointer into the returned slices, so they are made once.
func dynamic() dynamicconfig.Client {
	everywhere := map[dynamicconfig.Key]any{
		// One machine, one process: more partitions of a queue only add hops.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		dynamicconfig.FrontendRPS.Key():                                  unthrottled,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():           unthrottled,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): unthrottled,
		dynamicconfig.FrontendPersistenceMaxQPS.Key():                    unthrottled,
		dynamicconfig.HistoryRPS.Key():                                   unthrottled,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                     unthrottled,
		dynamicconfig.MatchingRPS.Key():                                  unthrottled,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():                    unthrottled,
		dynamicconfig.WorkerPersistenceMaxQPS.Key():                      unthrottled,

		dynamicconfig.MaxIDLengthLimit.Key(): 255,

		// The watch tells the services of a namespace at once; this is only
		// how often they read again should it ever fail.
		dynamicconfig.NamespaceCacheRefreshInterval.Key(): 10 * time.Second,

		// A cell's worker commands its own namespace only, and completes only
		// tasks of the namespace that its token names.
		dynamicconfig.EnableCrossNamespaceCommands.Key():    false,
		dynamicconfig.EnableTokenNamespaceEnforcement.Key(): true,
		dynamicconfig.DisableStreamingAuthorizer.Key():      false,
	}
	values := make(configuration, len(everywhere)+1)
	for key, value := range everywhere {
		values[key] = []dynamicconfig.ConstrainedValue{{Value: value}}
	}
	// A system worker per namespace costs two megabytes: schedules run in the
	// platform's namespace, and cells need none.
	values[dynamicconfig.WorkerPerNamespaceWorkerCount.Key()] = []dynamicconfig.ConstrainedValue{
		{Value: 0},
		{Value: 1, Constraints: dynamicconfig.Constraints{Namespace: platform.Namespace}},
	}
	return values
}

// configuration is a fixed dynamic configuration.
type configuration map[dynamicconfig.Key][]dynamicconfig.ConstrainedValue

// GetValue implements [dynamicconfig.Client].
func (c configuration) GetValue(key dynamicconfig.Key) []dynamicconfig.ConstrainedValue {
	return c[key]
}
