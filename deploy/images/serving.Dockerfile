# The server: what `docker compose` builds as glassformer/serving.
#   docker build --file deploy/images/serving.Dockerfile --tag glassformer/serving:0.1.0 .
FROM ghcr.io/astral-sh/uv:0.13.0 AS uv

FROM python:3.11.15-slim-bookworm AS build
COPY --from=uv /uv /usr/local/bin/uv
WORKDIR /build
COPY requirements.lock deploy/images/serving.in ./
# Wheels alone: nothing is compiled, and no package's own script runs. Bytecode now: the file system is read-only later.
RUN uv venv --no-python-downloads /opt/venv \
 && VIRTUAL_ENV=/opt/venv uv pip install --no-cache --require-hashes --only-binary :all: --compile-bytecode \
      --requirements serving.in --constraints requirements.lock

FROM python:3.11.15-slim-bookworm
# The volume takes its owner from this folder. Nothing is installed into a container: pip goes.
RUN python -m pip uninstall --yes --quiet pip setuptools wheel \
 && useradd --uid 10001 --user-group --home-dir /home/glassformer --shell /usr/sbin/nologin glassformer \
 && install --directory --owner 10001 --group 10001 /home/glassformer
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
# A version brings its own code: here is only what serves it.
COPY artifacts artifacts
COPY command_line command_line
COPY redaction redaction
COPY telemetry telemetry
COPY deploy/__init__.py deploy/families.py deploy/store.py deploy/
COPY deploy/serving deploy/serving
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GLASSFORMER_HOME=/home/glassformer \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true HF_HUB_DISABLE_TELEMETRY=1 GIT_PYTHON_REFRESH=quiet
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "deploy.serving", "--wait"]
