package engine

import (
	"context"
	"sync"

	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common/namespace"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/client"

	"github.com/tenonhq/tenon/schema"
)

// watchBuffer is how many changes a service may lag behind before it is told
// to read everything again.
const watchBuffer = 1024

// watch tells every service of this process of a namespace the moment that it
// changes. The server's SQL stores know no watch, so each of its services
// would list all namespaces every few seconds instead: with a thousand
// organizations that costs more than their work, and a namespace registered at
// run time is unknown to some service for as long.
//
// It is exact only because this process is the only writer of the engine's
// store.
type watch struct {
	// revocations stand in the namespaces, so this is where they are seen.
	revocations revocations
	// names are those of the namespaces, by id. One is renamed only as it is deleted.
	names sync.Map

	mu          sync.Mutex
	loaded      bool
	subscribers map[chan *persistence.NamespaceWatchEvent]struct{}
}

// load reads what stands in the store, before anything is served.
func (w *watch) load(namespaces persistence.MetadataManager) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loaded {
		return nil
	}
	request := &persistence.ListNamespacesRequest{PageSize: 1000, IncludeDeleted: true}
	for {
		page, err := namespaces.ListNamespaces(context.Background(), request)
		if err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the namespaces cannot be listed: %w", err)
		}
		for _, n := range page.Namespaces {
			w.note(n.Namespace.GetInfo())
		}
		if len(page.NextPageToken) == 0 {
			w.loaded = true
			return nil
		}
		request.NextPageToken = page.NextPageToken
	}
}

// note takes over what a namespace says.
func (w *watch) note(n *persistencespb.NamespaceInfo) {
	w.names.Store(n.GetId(), n.GetName())
	w.revocations.note(n)
}

// named gives the name of a namespace by its id, of none an empty one.
func (w *watch) named(id string) string {
	name, _ := w.names.Load(id)
	text, _ := name.(string)
	return text
}

// factory makes the server's stores with a namespace store that announces.
func (w *watch) factory(params client.NewFactoryParams) client.Factory {
	return watchedFactory{Factory: client.FactoryProvider(params), watch: w}
}

// subscribe opens a channel of changes that closes with ctx.
func (w *watch) subscribe(ctx context.Context) <-chan *persistence.NamespaceWatchEvent {
	events := make(chan *persistence.NamespaceWatchEvent, watchBuffer)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.subscribers == nil {
		w.subscribers = make(map[chan *persistence.NamespaceWatchEvent]struct{})
	}
	w.subscribers[events] = struct{}{}
	context.AfterFunc(ctx, func() { w.drop(events) })
	return events
}

func (w *watch) drop(events chan *persistence.NamespaceWatchEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, open := w.subscribers[events]; open {
		delete(w.subscribers, events)
		close(events)
	}
}

// announce never waits: a subscriber that lags is cut off, and subscribes
// again with a full read.
func (w *watch) announce(event *persistence.NamespaceWatchEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for events := range w.subscribers {
		select {
		case events <- event:
		default:
			delete(w.subscribers, events)
			close(events)
		}
	}
}

type watchedFactory struct {
	client.Factory
	watch *watch
}

// NewMetadataManager implements [client.Factory].
func (f watchedFactory) NewMetadataManager() (persistence.MetadataManager, error) {
	manager, err := f.Factory.NewMetadataManager()
	if err != nil {
		return nil, err
	}
	if err := f.watch.load(manager); err != nil {
		return nil, err
	}
	return watchedNamespaces{MetadataManager: manager, watch: f.watch}, nil
}

// watchedNamespaces is the server's namespace store that announces what it wrote.
type watchedNamespaces struct {
	persistence.MetadataManager
	watch *watch
}

// WatchNamespaces implements [persistence.MetadataManager].
func (n watchedNamespaces) WatchNamespaces(ctx context.Context) (<-chan *persistence.NamespaceWatchEvent, error) {
	return n.watch.subscribe(ctx), nil
}

// CreateNamespace implements [persistence.MetadataManager].
func (n watchedNamespaces) CreateNamespace(ctx context.Context, request *persistence.CreateNamespaceRequest) (*persistence.CreateNamespaceResponse, error) {
	response, err := n.MetadataManager.CreateNamespace(ctx, request)
	if err != nil {
		return nil, err
	}
	n.watch.note(request.Namespace.GetInfo())
	n.written(ctx, persistence.NamespaceWatchEventTypeCreate, &persistence.GetNamespaceRequest{ID: request.Namespace.GetInfo().GetId()})
	return response, nil
}

// UpdateNamespace implements [persistence.MetadataManager].
func (n watchedNamespaces) UpdateNamespace(ctx context.Context, request *persistence.UpdateNamespaceRequest) error {
	n.watch.revocations.keep(request.Namespace.GetInfo())
	if err := n.MetadataManager.UpdateNamespace(ctx, request); err != nil {
		return err
	}
	n.watch.note(request.Namespace.GetInfo())
	n.written(ctx, persistence.NamespaceWatchEventTypeUpdate, &persistence.GetNamespaceRequest{ID: request.Namespace.GetInfo().GetId()})
	return nil
}

// RenameNamespace implements [persistence.MetadataManager].
func (n watchedNamespaces) RenameNamespace(ctx context.Context, request *persistence.RenameNamespaceRequest) error {
	if err := n.MetadataManager.RenameNamespace(ctx, request); err != nil {
		return err
	}
	n.written(ctx, persistence.NamespaceWatchEventTypeUpdate, &persistence.GetNamespaceRequest{Name: request.NewName})
	return nil
}

// DeleteNamespace implements [persistence.MetadataManager].
func (n watchedNamespaces) DeleteNamespace(ctx context.Context, request *persistence.DeleteNamespaceRequest) error {
	if err := n.MetadataManager.DeleteNamespace(ctx, request); err != nil {
		return err
	}
	n.deleted(request.ID)
	return nil
}

// DeleteNamespaceByName implements [persistence.MetadataManager].
func (n watchedNamespaces) DeleteNamespaceByName(ctx context.Context, request *persistence.DeleteNamespaceByNameRequest) error {
	found, lookup := n.GetNamespace(ctx, &persistence.GetNamespaceRequest{Name: request.Name})
	if err := n.MetadataManager.DeleteNamespaceByName(ctx, request); err != nil {
		return err
	}
	if lookup == nil {
		n.deleted(found.Namespace.GetInfo().GetId())
	}
	return nil
}

// written announces a namespace as it now stands in the store. When it cannot
// be read back every subscriber is cut off, and reads everything again.
func (n watchedNamespaces) written(ctx context.Context, kind persistence.NamespaceWatchEventType, which *persistence.GetNamespaceRequest) {
	response, err := n.GetNamespace(ctx, which)
	if err != nil {
		n.watch.announce(&persistence.NamespaceWatchEvent{Err: err})
		return
	}
	n.watch.announce(&persistence.NamespaceWatchEvent{Type: kind, Response: response, NamespaceID: namespace.ID(response.Namespace.GetInfo().GetId())})
}

func (n watchedNamespaces) deleted(id string) {
	n.watch.names.Delete(id)
	n.watch.announce(&persistence.NamespaceWatchEvent{
		Type:        persistence.NamespaceWatchEventTypeDelete,
		NamespaceID: namespace.ID(id),
	})
}
