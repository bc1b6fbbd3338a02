// Package wire is the protocol between the host and a connector, generated from
// wire.proto, with the names and limits that both ends must agree on.
//
// May import: protobuf, gRPC and go-plugin only.
package wire

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative wire.proto
