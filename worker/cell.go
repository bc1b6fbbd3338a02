package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/connectors"
	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/codec"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/worker/process"
	"github.com/tenonhq/tenon/workflows"
)

const (
	// drainPatience is how long live steps get to end when a cell drains.
	drainPatience = 5 * time.Second
	// lockPatience is how long a cell waits for the process before it to end.
	lockPatience = 10 * time.Second
	// childIdle ends a connector or evaluator that nobody has used for so long:
	// it is started again in some tens of milliseconds.
	childIdle = 15 * time.Second
	// keptConnections is how many unused connections to one target are kept: as
	// many as a connector uses at a time, or a busy one would shake hands anew.
	keptConnections = 32
	// evaluators per cell; one batch runs in each at a time.
	evaluators = 2
	// evaluatorMemory bounds an evaluator's data segment.
	evaluatorMemory = 384 << 20
)

// Tools are what a cell's process has from before it knew anything.
type Tools struct {
	// Launcher starts its sandboxed children; RunCell closes it.
	Launcher *host.Launcher
	// Binaries is the directory of their programs. It is the cell's own: a host
	// must not have it execute anything else.
	Binaries string
}

// RunCell runs one organization's cell until the host asks it to drain or goes
// away. confine is called once with the boot, before anything of the
// organization is opened.
func RunCell(ctx context.Context, line *Line, tools Tools, logger *slog.Logger, confine func(Boot) error) error {
	launcher := tools.Launcher
	defer launcher.Close()
	var first Notice
	if err := line.Receive(&first); err != nil || first.Boot == nil {
		return schema.Errorf(schema.CodeInvalid, "a cell is started by the host, which hands it its boot: %w", err)
	}
	boot := *first.Boot
	collect(boot.Memory)
	logger = logger.With("organization", boot.Organization)
	// What the relay takes up as left by the process before must be left: a
	// process that its host's death is about to end still holds the lock.
	lock, err := process.Lock(ctx, filepath.Join(boot.RunDir, "lock"), lockPatience)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()

	pool, err := connectorPool(boot, tools, logger)
	if err != nil {
		return err
	}
	defer pool.Close()
	eval, err := evaluatorPool(tools)
	if err != nil {
		return err
	}
	defer eval.Close()
	program := ownText()
	if err := confine(boot); err != nil {
		return err
	}

	private, data, err := boot.open()
	if err != nil {
		return err
	}
	cell, err := store.OpenCell(ctx, boot.Databases, store.SideCell)
	if err != nil {
		return err
	}
	defer func() { _ = cell.Close() }()
	// From here on, whoever owned the cell before writes nothing more.
	if err := cell.Work().Own(ctx, boot.Epoch); err != nil {
		return err
	}
	crash.At(crash.CellOwned)

	var bearer atomic.Value
	bearer.Store(boot.Token)
	engine, err := dial(boot, data, &bearer, logger)
	if err != nil {
		return err
	}
	defer engine.Close()

	r := newRelay(boot.Organization, cell, data, engine, boot.Capacity, logger)
	r.executor = activities.New(activities.Config{
		Organization: boot.Organization, Owner: schema.NewID(schema.PrefixHost), Cell: cell,
		Data: data, Private: private, Floors: boot.Floors,
		// A host that is gone has the next process tell its host again.
		Raised:    func(known map[string]config.Floor) { _ = line.Send(Report{Floors: known}) },
		Evaluator: eval, Connectors: pool, Broker: broker.New(broker.Config{MaxIdle: keptConnections}),
		Logger: logger, Requeue: func(run string) { r.again(run) }, Ended: r.ended, Alerted: r.alerted,
	})

	if err := r.executor.CompareFloors(ctx); err != nil {
		return err
	}

	r.rest = rest{after: boot.Idle, text: program, ask: func() {
		// A host that is gone ends the cell by the line's other direction.
		_ = line.Send(Report{Idle: true})
	}}

	w := newWorker(engine, r.executor, r.shares.capacity)
	if err := w.Start(); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the cell's worker could not start: %w", err)
	}
	stopWorker := sync.OnceFunc(w.Stop)
	defer stopWorker()

	custody := newRotation(r.executor, boot.Keys, logger)
	r.sealing = custody.pending.Load
	relaying, cancel := context.WithCancel(ctx)
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		r.run(relaying)
	}()
	// The databases outlive the relay.
	stopRelay := func() {
		cancel()
		<-relayed
	}
	defer stopRelay()
	var beside sync.WaitGroup
	beside.Go(func() { custody.run(relaying) })
	beside.Go(func() { r.removeRuns(relaying) })
	beside.Go(func() { r.tellAlerts(relaying) })
	defer func() {
		cancel()
		beside.Wait()
	}()
	if err := line.Send(Report{Ready: true, Missing: launcher.Missing()}); err != nil {
		return err
	}
	logger.InfoContext(ctx, "cell is awake")
	listened, sleep := make(chan error, 1), make(chan struct{}, 1)
	go func() { listened <- listen(line, r, custody, &bearer, sleep) }()
	for {
		select {
		case err = <-listened:
		case <-ctx.Done():
			err = nil
		case <-cell.Work().Lost():
			err = store.ErrNotOwner
		case <-launcher.Gone():
			// Nothing can be started any more, and a launcher only before a cell restricts
			// itself: the next process has one.
			err = schema.Errorf(schema.CodeUnavailable, "the launcher of the cell's children has ended")
		case <-sleep:
			if r.busy() {
				continue
			}
			// With the relay and the worker at rest nothing begins anymore; what
			// is found now is for the next process.
			stopRelay()
			stopWorker()
			return fallAsleep(ctx, r, line)
		}
		logger.InfoContext(ctx, "cell drains")
		return err
	}
}

// fallAsleep tells the host that the cell has nothing to do, and when it has
// again; if it has, the host starts another process.
func fallAsleep(ctx context.Context, r *relay, line *Line) error {
	idle, wakeAt, err := r.nothing(ctx)
	if err != nil || !idle {
		return err
	}
	r.logger.InfoContext(ctx, "cell falls asleep", "wake_at", wakeAt)
	if err := line.Send(Report{Asleep: true, WakeAt: wakeAt}); err != nil {
		return err
	}
	crash.At(crash.SleepTold)
	return nil
}

// listen follows the host's notices until it asks to drain or is gone.
func listen(line *Line, r *relay, custody *rotation, bearer *atomic.Value, sleep chan<- struct{}) error {
	for {
		var n Notice
		if err := line.Receive(&n); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return nil // The host is gone; another takes the cell over.
			}
			return schema.Errorf(schema.CodeUnavailable, "the handover broke: %w", err)
		}
		switch {
		case n.Drain:
			return nil
		case n.Token != "":
			bearer.Store(n.Token)
		case n.Keys != nil:
			if err := custody.adopt(n.Keys); err != nil {
				return err
			}
		case n.Bell:
			r.ring()
		case n.Sleep:
			signal(sleep)
		}
	}
}

// headers adds the cell's engine token to each call.
type headers struct{ bearer *atomic.Value }

// GetHeaders implements the engine client's header provider.
func (h headers) GetHeaders(context.Context) (map[string]string, error) {
	token, _ := h.bearer.Load().(string)
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func dial(boot Boot, data seal.DataKeys, bearer *atomic.Value, logger *slog.Logger) (client.Client, error) {
	transport, err := EngineTLS(boot.Engine, boot.EngineCA)
	if err != nil {
		return nil, err
	}
	c, err := client.Dial(client.Options{
		ConnectionOptions: client.ConnectionOptions{
			TLS: transport, TLSDisabled: transport == nil,
			// What is sent is sealed, and does not get smaller.
			GrpcCompression: &client.GrpcCompressionNone{},
		},
		HostPort: boot.Engine, Namespace: boot.Organization, Logger: EngineLog(logger),
		HeadersProvider:  headers{bearer},
		DataConverter:    codec.DataConverter(boot.Organization, data),
		FailureConverter: codec.FailureConverter(boot.Organization, data),
	})
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the engine could not be reached: %w", err)
	}
	return c, nil
}

func newWorker(engine client.Client, x *activities.Executor, capacity int) sdkworker.Worker {
	w := sdkworker.New(engine, task.Queue, sdkworker.Options{
		// A dead worker's sticky queue must not hold its workflows back.
		StickyScheduleToStartTimeout:     time.Second,
		WorkerStopTimeout:                drainPatience,
		MaxConcurrentWorkflowTaskPollers: 2,
		MaxConcurrentActivityTaskPollers: 2,
		// Each run has one, and those of flows that hang leave room for others.
		MaxConcurrentLocalActivityExecutionSize: 2 * capacity,
		MaxConcurrentActivityExecutionSize:      2 * capacity,
		DisableRegistrationAliasing:             true,
	})
	workflows.Register(w, x)
	w.RegisterActivityWithOptions(x.Step, activity.RegisterOptions{Name: task.Step})
	w.RegisterActivityWithOptions(x.Stretches, activity.RegisterOptions{Name: task.Stretches})
	w.RegisterActivityWithOptions(x.Finish, activity.RegisterOptions{Name: task.Finish})
	w.RegisterActivityWithOptions(x.Recall, activity.RegisterOptions{Name: task.Recall})
	return w
}

func connectorPool(boot Boot, tools Tools, logger *slog.Logger) (*host.Pool, error) {
	path := filepath.Join(tools.Binaries, "tenon-connector")
	var entries []host.Entry
	for _, m := range connectors.Builtin() {
		entry, err := host.NewEntry(m, path, m.Name)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return host.NewPool(host.PoolConfig{
		Catalog: host.NewCatalog(entries...), Launcher: tools.Launcher, RunDir: boot.RunDir, Logger: logger, IdleAfter: childIdle,
	}), nil
}

func evaluatorPool(tools Tools) (*evaluate.Pool, error) {
	exe, err := os.Open(filepath.Join(tools.Binaries, "tenon-eval"))
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the evaluator is not installed beside this binary: %w", err)
	}
	return evaluate.NewPool(evaluate.Config{
		Size: evaluators, IdleAfter: childIdle,
		Start: func(ctx context.Context) (io.ReadWriteCloser, func(), error) {
			return startEvaluator(ctx, tools.Launcher, exe)
		},
	}), nil
}

// startEvaluator launches an evaluator whose standard streams are one socket.
func startEvaluator(ctx context.Context, launcher *host.Launcher, exe *os.File) (io.ReadWriteCloser, func(), error) {
	ours, theirs, err := SocketPair()
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = theirs.Close() }()
	p, err := launcher.Start(ctx, host.Spec{
		Executable: exe, Args: []string{"tenon-eval"}, Stdin: theirs, Stdout: theirs,
		Limits: host.Limits{MemoryBytes: evaluatorMemory, OpenFiles: 16},
	})
	if err != nil {
		_ = ours.Close()
		return nil, nil, err
	}
	return ours, func() {
		_ = ours.Close()
		_ = p.Kill()
	}, nil
}
