package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/cmd/internal/heap"
	"github.com/tenonhq/tenon/connectors"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
)

// drainPatience is how long requests get to end.
const drainPatience = 8 * time.Second

func serveAPI(ctx context.Context, e env) error {
	heap.Relax()
	certificate, err := e.certificate()
	if err != nil {
		return err
	}
	// Where the API has a machine of its own, it may have no copy of it.
	rootPublic, err := keystore.LoadPublic(e.rootPublic)
	if err != nil && schema.CodeOf(err) != schema.CodeNotFound {
		return err
	}
	if err := confine.Apply(confine.Policy{
		ReadOnly:  append(append(e.apiKey().Files(), e.verifier, e.cellKeys), store.TLSFiles(e.controlURL())...),
		ReadWrite: []string{e.control, e.cells, e.run},
		Keep:      confine.Listening(e.API),
	}, e.logger); err != nil {
		return err
	}
	private, err := e.apiKey().Load(ctx)
	if err != nil {
		return err
	}
	if private.Public() == rootPublic {
		return sameKey()
	}
	verifier, err := token.LoadVerifier(e.verifier)
	if err != nil {
		return err
	}
	keys, err := keystore.Open(e.cellKeys)
	if err != nil {
		return err
	}
	control, err := store.OpenControl(ctx, e.controlURL())
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }()
	bells, err := e.ringers()
	if err != nil {
		return err
	}
	defer bells.close()
	server, err := api.New(api.Config{
		Control: control, Keys: keys, APIKey: private, Operators: verifier, Connectors: connectors.Builtin(),
		Bell: bells.ring, EngineUI: e.UIURL, Logger: e.logger, PlaintextCredentials: e.PlaintextCredentials, Limits: api.Limits{Disk: e.Cell.Disk},
		ClientCertificates: e.ClientCertificates,
	})
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	return listenAndServe(ctx, e.API, e.tlsConfig(certificate), server.Handler(), e.logger)
}

func (e env) certificate() (*tls.Certificate, error) {
	if e.TLSCert == "" {
		return nil, nil //nolint:nilnil // No certificate: loopback only, which the settings hold.
	}
	pair, err := tls.LoadX509KeyPair(e.TLSCert, e.TLSKey)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "settings tls-cert and tls-key must be a certificate and its key in PEM: %w", err)
	}
	return &pair, nil
}

// tlsConfig is nil without a certificate. A client's certificate is asked for
// where the settings say so; which ones count is for each webhook source to say.
func (e env) tlsConfig(certificate *tls.Certificate) *tls.Config {
	if certificate == nil {
		return nil
	}
	c := &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if e.ClientCertificates {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}

func listenAndServe(ctx context.Context, address string, secured *tls.Config, handler http.Handler, logger *slog.Logger) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the API could not listen on %s: %w", address, err).
			Advise("Is it running already? Otherwise choose another api-address.")
	}
	if secured != nil {
		listener = tls.NewListener(listener, secured)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 90 * time.Second, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	logger.InfoContext(ctx, "the API answers", "address", listener.Addr().String())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return schema.Errorf(schema.CodeUnavailable, "the API stopped: %w", err)
	case <-ctx.Done():
	}
	logger.InfoContext(ctx, "the API drains")
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainPatience)
	defer cancel()
	if err := server.Shutdown(patience); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return schema.Errorf(schema.CodeTimeout, "requests were still under way when the API ended: %w", err)
	}
	return nil
}
