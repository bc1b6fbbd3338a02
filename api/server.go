package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tenonhq/tenon/schema"
)

// Server answers requests. Make one with New; it is safe for concurrent use.
type Server struct {
	config    Config
	log       *slog.Logger
	huma      huma.API
	handler   http.Handler
	cells     *cells
	admission *admission
	refusals  *refusals
	routes    *routes
	catalog   *catalog
	rotations *rotations
	rounds    rounds
	clock     *clock

	touched sync.Map // key id to the time.Time its last use was written
	ctx     context.Context
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// Version is the version of the interface, not of the program.
const Version = "1.0.0"

// New makes a server. It fails on a configuration that cannot work, and opens
// no cell yet. Close it after its handler's last request has returned.
func New(c Config) (*Server, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	known, err := newCatalog(c.Connectors)
	if err != nil {
		return nil, err
	}
	adoptHuma()
	s := &Server{
		config: c, log: c.Logger, cells: newCells(c), admission: newAdmission(c.Limits), refusals: newRefusals(),
		routes: newRoutes(c), catalog: known,
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.rotations = newRotations(s)
	s.clock = newClock(s)
	s.cells.opened = s.rotations.watch
	mux := http.NewServeMux()
	s.huma = humago.New(mux, document())
	s.huma.UseMiddleware(s.admit)
	s.register()
	if err := s.serveDocument(mux); err != nil {
		return nil, err
	}
	mux.HandleFunc("/", s.unknown(mux))
	s.handler = discreet(s.observe(s.crossOrigin(mux)))
	s.work.Go(s.janitor)
	s.work.Go(s.custodian)
	s.work.Go(s.sweeper)
	s.work.Go(s.clock.run)
	s.work.Go(s.recordRefusals)
	s.work.Go(s.rotations.run)
	return s, nil
}

// Handler serves every route.
func (s *Server) Handler() http.Handler { return s.handler }

// OpenAPI returns the OpenAPI 3.1 document as JSON.
func (s *Server) OpenAPI() ([]byte, error) { return json.Marshal(s.huma.OpenAPI()) }

// Close ends what runs in the background and closes every cell.
func (s *Server) Close() error {
	s.stop()
	s.work.Wait()
	return s.cells.sweep(true)
}

func (s *Server) register() {
	s.registerHealth()
	s.registerOrganizations()
	s.registerIncident()
	s.registerDeletion()
	s.registerKeys()
	s.registerNamespaces()
	s.registerConnectors()
	s.registerConnections()
	s.registerCredentials()
	s.registerSettings()
	s.registerSources()
	s.registerSchedules()
	s.registerFlows()
	s.registerPauses()
	s.registerCalls()
	s.registerHooks()
	s.registerEvents()
	s.registerRuns()
	s.registerCommands()
	s.registerAlerts()
	s.registerAudit()
	s.registerActs()
	s.registerCodec()
	s.registerCellKeys()
}

// document is the OpenAPI document before its operations.
func document() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Tenon",
				Version:     Version,
				Description: "Flows that join systems. Every operation states the permission it takes; errors are RFC 9457 problems with a stable code.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key":      {Type: "http", Scheme: "bearer", BearerFormat: "tk_…", Description: "An API key of the platform or of an organization."},
					"operator": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "A short-lived operator token, for the codec endpoint only."},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
}

// unknown answers what no route takes: 405 when another method would do.
func (s *Server) unknown(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
			if _, pattern := mux.Handler(probe); pattern != "/" && pattern != "" {
				allowed = append(allowed, method)
			}
		}
		p := problemOf(r.Context(), schema.Errorf(schema.CodeNotFound, "there is no such route"))
		p.Detail = "there is no such route"
		if len(allowed) > 0 {
			p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
			p.Code, p.Detail = schema.CodeInvalid, "the route takes other methods"
			p.header["Allow"] = allowed
		}
		writeRaw(w, p)
	}
}

func (s *Server) now() time.Time { return s.config.Clock().UTC() }

// background runs work that no request waits for; Close waits for it.
func (s *Server) background(do func(context.Context)) {
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		do(ctx)
	})
}

// janitor closes idle cells.
func (s *Server) janitor() {
	every := time.NewTicker(max(s.config.Limits.CellIdle/4, time.Second))
	defer every.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-every.C:
			if err := s.cells.sweep(false); err != nil {
				s.log.WarnContext(s.ctx, "an idle cell did not close cleanly", "error", err)
			}
		}
	}
}
