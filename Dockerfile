# docker build -t guardproxy . && docker run -p 8080:8080 -v guardproxy-audit:/audit guardproxy --upstream https://api.openai.com
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY guardproxy guardproxy
COPY policies policies
COPY models models
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels guardproxy \
    && useradd --system --uid 10001 guardproxy && mkdir /audit && chown guardproxy /audit
USER 10001
VOLUME /audit
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=2s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9090/readyz')"]
ENTRYPOINT ["guardproxy", "serve", "--host", "0.0.0.0", "--admin-host", "0.0.0.0", "--audit", "/audit"]
