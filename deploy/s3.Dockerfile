# The S3 server that the tests run against: Versity S3 Gateway over a folder, built from the Go module registry.
FROM golang:1.25-bookworm AS build
ARG VERSION=v1.8.0
RUN CGO_ENABLED=0 go install -trimpath -ldflags "-s -w -X main.Version=$VERSION" "github.com/versity/versitygw/cmd/versitygw@$VERSION"

FROM debian:bookworm-slim
COPY --from=build /go/bin/versitygw /usr/local/bin/versitygw
# To this server a folder is a bucket. A new volume takes both, and its owner, from here.
RUN useradd --system --no-create-home --uid 10002 s3 && install -d -o s3 -g s3 /data /data/models /data/mlflow
USER s3
VOLUME /data
ENTRYPOINT ["versitygw"]
