# One image for every service of docker-compose.yml: static binaries, no shell,
# not root.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=0.1.0-dev
ENV CGO_ENABLED=0
RUN mkdir -p /image/bin /image/data/engine /image/data/keys /image/data/keystore /image/data/checkpoints /image/data/run \
 && chmod -R 0700 /image/data \
 && go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /image/bin/ ./cmd/... \
 && go build -trimpath -ldflags "-s -w" -o /image/bin/tenon-setup ./deploy/setup

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /image/bin/ /usr/local/bin/
# Volumes that are mounted here for the first time take their owner from here.
COPY --from=build --chown=65532:65532 /image/data/ /data/
ENV TENON_DATA=/data TENON_LOG_FORMAT=json
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tenon"]
CMD ["--help"]
