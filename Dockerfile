# syntax=docker/dockerfile:1
# Two targets: `web` without torch, `worker` with it.
#   docker build --target web -t danqing-web .
#   docker build --target worker -t danqing-worker .

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 danqing && mkdir -p /data && chown -R danqing /data
WORKDIR /srv/danqing
COPY pyproject.toml constraints.txt README.md ./
COPY app app
COPY models models
COPY workers workers

FROM base AS assets
RUN pip install --constraint constraints.txt '.[fetch]' \
    && pip uninstall --yes danqing
COPY static static
RUN python -m app.terminal.cli vendor

FROM base AS web
RUN pip install --constraint constraints.txt --editable '.[fetch]'
COPY templates templates
COPY --from=assets /srv/danqing/static static
USER 10001
ENV DANQING_DATA=/data DANQING_HOST=0.0.0.0 DANQING_LOG_FORMAT=json HOME=/tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["sh", "-c", "danqing migrate && exec danqing web"]

FROM base AS worker
# For another build of torch (CPU only, another CUDA): --build-arg TORCH_INDEX_OPTION="--index-url ..."
ARG TORCH_INDEX_OPTION=""
# Without `pretrained`, imported pipelines are not drawn with, and the image is 200 MB smaller.
ARG EXTRAS="worker,train,fetch,pretrained"
# hadolint ignore=DL3013
RUN pip install ${TORCH_INDEX_OPTION} "torch>=2.11,<3" \
    && grep -v '^torch==' constraints.txt > constraints-worker.txt \
    && pip install --constraint constraints-worker.txt --editable ".[${EXTRAS}]"
COPY recipes recipes
USER 10001
ENV DANQING_DATA=/data DANQING_LOG_FORMAT=json HOME=/tmp
CMD ["danqing", "worker", "--queue", "generation"]
