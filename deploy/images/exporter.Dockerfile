# The exporter: what `docker compose` builds as glassformer/exporter.
#   docker build --file deploy/images/exporter.Dockerfile --tag glassformer/exporter:0.1.0 .
FROM ghcr.io/astral-sh/uv:0.13.0 AS uv

FROM python:3.11.15-slim-bookworm AS build
COPY --from=uv /uv /usr/local/bin/uv
WORKDIR /build
COPY requirements.lock deploy/images/exporter.in ./
# Wheels alone: nothing is compiled, and no package's own script runs. Bytecode now: the file system is read-only later.
RUN uv venv --no-python-downloads /opt/venv \
 && VIRTUAL_ENV=/opt/venv uv pip install --no-cache --require-hashes --only-binary :all: --compile-bytecode \
      --requirements exporter.in --constraints requirements.lock

FROM python:3.11.15-slim-bookworm
# Nothing is installed into a container: pip goes.
RUN python -m pip uninstall --yes --quiet pip setuptools wheel \
 && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin exporter
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY artifacts artifacts
COPY command_line command_line
COPY redaction redaction
COPY telemetry telemetry
COPY deploy/__init__.py deploy/families.py deploy/store.py deploy/
COPY deploy/exporter deploy/exporter
COPY docs/runbooks docs/runbooks
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true GIT_PYTHON_REFRESH=quiet
USER 10001:10001
EXPOSE 9464
CMD ["python", "-m", "deploy.exporter", "--host", "0.0.0.0", "--port", "9464"]
