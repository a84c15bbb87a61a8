# Pipelines and their steps. By far the largest: the locked torch brings CUDA with it.
#   docker build --file deploy/images/pipeline.Dockerfile --tag glassformer/pipeline:0.1.0 .
#   docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --memory 8g --shm-size 1g \
#     --volume glassformer-home:/home/glassformer --network glassformer_backends \
#     --env MLFLOW_TRACKING_URI=http://mlflow:5000 \
#     --env OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://loki:3100/otlp/v1/logs \
#     --env OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://tempo:4318/v1/traces \
#     --env OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://prometheus:9090/api/v1/otlp/v1/metrics \
#     glassformer/pipeline:0.1.0 run tiny
FROM ghcr.io/astral-sh/uv:0.13.0 AS uv

FROM python:3.11.15-slim-bookworm AS build
COPY --from=uv /uv /usr/local/bin/uv
WORKDIR /build
COPY requirements.lock deploy/images/pipeline.in ./
# Wheels alone: nothing is compiled, and no package's own script runs. Bytecode now: the file system is read-only later.
RUN uv venv --no-python-downloads /opt/venv \
 && VIRTUAL_ENV=/opt/venv uv pip install --no-cache --require-hashes --only-binary :all: --compile-bytecode \
      --requirements pipeline.in --constraints requirements.lock

FROM python:3.11.15-slim-bookworm
# The volume takes its owner from this folder. Nothing is installed into a container: pip goes.
RUN python -m pip uninstall --yes --quiet pip setuptools wheel \
 && useradd --uid 10001 --user-group --home-dir /home/glassformer --shell /usr/sbin/nologin glassformer \
 && install --directory --owner 10001 --group 10001 /home/glassformer
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY MLproject python_env.yaml pyproject.toml requirements.lock ./
COPY artifacts artifacts
COPY command_line command_line
COPY deploy deploy
COPY models models
COPY pipelines pipelines
COPY steps steps
COPY tasks tasks
COPY redaction redaction
COPY telemetry telemetry
COPY training training
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GLASSFORMER_HOME=/home/glassformer \
    MLFLOW_TRACKING_URI=sqlite:////home/glassformer/mlflow.db \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true HF_HUB_DISABLE_TELEMETRY=1 GIT_PYTHON_REFRESH=quiet
USER 10001:10001
ENTRYPOINT ["python", "-m", "pipelines"]
CMD ["--help"]
