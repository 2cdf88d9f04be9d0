# A static binary in an empty image. Build: docker build -t miroir .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/miroir . && mkdir /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/miroir /miroir
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
ENV MIROIR_DATA_DIR=/data
EXPOSE 7700 9090
ENTRYPOINT ["/miroir"]
CMD ["serve"]
