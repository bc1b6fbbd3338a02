package webui

import (
	"context"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// OwnNamespaces answers the UI's list of all namespaces, which no operator may
// read, with those that the caller's token names. It describes each with the
// caller's own token, so it shows nothing that the frontend would not.
func OwnNamespaces(verifier Verifier) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		answer, ok := reply.(*workflowservice.ListNamespacesResponse)
		if !ok || method != workflowservice.WorkflowService_ListNamespaces_FullMethodName {
			return invoke(ctx, method, request, reply, conn, opts...)
		}
		sent, _ := metadata.FromOutgoingContext(ctx)
		var bearer string
		if values := sent.Get("authorization"); len(values) > 0 {
			bearer = strings.TrimPrefix(values[0], "Bearer ")
		}
		claims, err := verifier.Verify(bearer, time.Now())
		if err != nil {
			return status.Error(codes.Unauthenticated, "the token is not valid")
		}
		for _, name := range claims.Namespaces {
			about := new(workflowservice.DescribeNamespaceResponse)
			err := invoke(ctx, workflowservice.WorkflowService_DescribeNamespace_FullMethodName,
				&workflowservice.DescribeNamespaceRequest{Namespace: name}, about, conn, opts...)
			switch status.Code(err) {
			case codes.OK:
				answer.Namespaces = append(answer.Namespaces, about)
			case codes.NotFound:
				// The token outlived the namespace.
			default:
				return err
			}
		}
		return nil
	}
}
