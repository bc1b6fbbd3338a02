package webui

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/temporalio/ui-server/v2/server/api"
	"github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tenonhq/tenon/schema"
)

// assetsDirectory holds the UI as it is built for a server of one's own.
const assetsDirectory = "local"

// newUI composes the UI server's handlers. Left out are its listener, its
// cookies, its own CSRF check (ours comes first), its OIDC login, and the
// route that asks the internet for newer releases.
func newUI(frontend *grpc.ClientConn, origin string, codec bool) (http.Handler, error) {
	settings := config.Config{
		// Unused: the connection is given to the handlers.
		TemporalGRPCAddress: "frontend",
		EnableUI:            true,
		HideLogs:            true,
		DisableNewsFetch:    true,
		// What an operator's token is refused anyway.
		StartWorkflowDisabled:    true,
		WorkflowResetDisabled:    true,
		WorkflowUpdateDisabled:   true,
		WorkflowPauseDisabled:    true,
		BatchActionsDisabled:     true,
		ActivityCommandsDisabled: true,
	}
	if codec {
		settings.Codec = config.Codec{Endpoint: origin + "/codec", IncludeCredentials: true}
	}
	provider, err := config.NewConfigProviderWithRefresh(&settings)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the UI cannot be configured: %w", err)
	}
	assets, err := localAssets()
	if err != nil {
		return nil, err
	}

	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard)
	e.Use(middleware.Recover(), middleware.Gzip())

	routes := e.Group("/api/v1")
	routes.GET("/settings", settingsOf(settings))
	routes.GET("/ui-extensions", api.GetUIExtensions(provider, nil))
	routes.GET(api.WorkflowRawHistoryUrl, api.WorkflowRawHistoryHandler(histories{workflowservice.NewWorkflowServiceClient(frontend)}))
	routes.Match([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		"/*", api.TemporalAPIHandler(provider, nil, frontend))
	if err := route.SetUIRoutes(e, "", assets, provider); err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the UI cannot be served: %w", err)
	}
	route.SetRenderRoute(e, "/")
	return e, nil
}

// settingsOf opens the UI in the first namespace of whoever is logged in.
func settingsOf(settings config.Config) echo.HandlerFunc {
	return func(c echo.Context) error {
		own := settings
		if namespaces := from(c.Request().Context()).claims.Namespaces; len(namespaces) > 0 {
			own.DefaultNamespace = namespaces[0]
		}
		provider, err := config.NewConfigProviderWithRefresh(&own)
		if err != nil {
			return err
		}
		return api.GetSettings(provider)(c)
	}
}

// histories puts the session's token on the one call that the UI server makes
// without its gateway.
type histories struct {
	workflowservice.WorkflowServiceClient
}

// GetWorkflowExecutionHistory implements [api.IWorkflowService].
func (h histories) GetWorkflowExecutionHistory(ctx context.Context, in *workflowservice.GetWorkflowExecutionHistoryRequest, opts ...grpc.CallOption) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+from(ctx).token)
	return h.WorkflowServiceClient.GetWorkflowExecutionHistory(ctx, in, opts...)
}

func localAssets() (fs.FS, error) {
	all, err := ui.Assets()
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the UI's files cannot be read: %w", err)
	}
	local, err := fs.Sub(all, assetsDirectory)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the UI's files cannot be read: %w", err)
	}
	return local, nil
}

// inlineScript finds the one script that stands in the UI's page itself.
var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// bootScript is the source expression of that script, for the policy.
var bootScript = sync.OnceValue(func() string {
	assets, err := localAssets()
	if err != nil {
		return ""
	}
	page, err := fs.ReadFile(assets, "index.html")
	if err != nil {
		return ""
	}
	var sources []string
	for _, script := range inlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(script[1])
		sources = append(sources, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	return strings.Join(sources, " ")
})
