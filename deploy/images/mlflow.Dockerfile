# MLflow's server with PostgreSQL's driver: what `docker compose` builds as glassformer/mlflow.
#   docker build --file deploy/images/mlflow.Dockerfile --tag glassformer/mlflow:3.17.2 .
FROM ghcr.io/astral-sh/uv:0.13.0 AS uv

FROM python:3.11.15-slim-bookworm AS build
COPY --from=uv /uv /usr/local/bin/uv
WORKDIR /build
COPY requirements.lock deploy/images/mlflow.in ./
# Wheels alone: nothing is compiled, and no package's own script runs. Bytecode now: the file system is read-only later.
RUN uv venv --no-python-downloads /opt/venv \
 && VIRTUAL_ENV=/opt/venv uv pip install --no-cache --require-hashes --only-binary :all: --compile-bytecode \
      --requirements mlflow.in --constraints requirements.lock

FROM python:3.11.15-slim-bookworm
# The volume takes its owner from this folder. Nothing is installed into a container: pip goes.
RUN python -m pip uninstall --yes --quiet pip setuptools wheel \
 && useradd --uid 10001 --user-group --home-dir /mlflow --shell /usr/sbin/nologin mlflow \
 && install --directory --owner 10001 --group 10001 /mlflow /mlflow/artifacts /mlflow/tmp
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true GIT_PYTHON_REFRESH=quiet
WORKDIR /mlflow
USER 10001:10001
EXPOSE 5000
CMD ["mlflow", "server", "--help"]
