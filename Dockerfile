# Three images from one file, none of which runs as root or holds more than it needs:
#   docker build --target serve-cpu -t macrec-serve:cpu .
#   docker build --target serve-gpu -t macrec-serve:gpu .   CUDA from wheels; the host brings only its driver (580+)
#   docker build --target train     -t macrec-train .       add --build-arg TORCH=cuda for a GPU

# Give a digest (python@sha256:...) where builds must be the same for ever.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG TORCH=cpu

FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 macrec \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin macrec
WORKDIR /app

# Environments: built apart, so that no build tool or cache stays behind, and reused until a lock changes.
FROM base AS venv
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/venv
COPY requirements/ requirements/

FROM venv AS venv-serve-cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps -r requirements/serve-cpu.txt

FROM venv AS venv-serve-gpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps -r requirements/serve-gpu.txt

FROM venv AS venv-torch-cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --index-url https://download.pytorch.org/whl/cpu torch==2.13.0

FROM venv AS venv-torch-cuda
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps -r requirements/torch.txt

# Tags belong to images; these are the stages above.
# hadolint ignore=DL3006
FROM venv-torch-${TORCH} AS venv-train
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --no-deps -r requirements/train.txt

# The service: it needs REDIS_URL, or a bundle that is mounted and named by MACREC_BUNDLE, or both. Its root file system
# may be read-only: it writes to /var/cache/macrec and, where histories are not in Redis, to /var/lib/macrec.
FROM base AS serve
RUN install --directory --owner=macrec --group=macrec /var/cache/macrec /var/lib/macrec
COPY deploy/probe.py deploy/
COPY model/ model/
COPY service/ service/
ENV MACREC_CATALOG_CACHE=/var/cache/macrec \
    MACREC_STATE=/var/lib/macrec \
    MACREC_HOST=0.0.0.0 \
    MACREC_PORT=8000
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "deploy/probe.py", "/livez"]
CMD ["python", "-m", "service"]

FROM serve AS serve-cpu
COPY --from=venv-serve-cpu /opt/venv /opt/venv

FROM serve AS serve-gpu
ENV LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cu13/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cudnn/lib \
    MACREC_PROVIDER=cuda \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all
COPY --from=venv-serve-gpu /opt/venv /opt/venv

# Training: `docker run macrec-train --help` lists its commands; runs belong into the volume.
FROM base AS train
RUN install --directory --owner=macrec --group=macrec /runs
COPY --from=venv-train /opt/venv /opt/venv
COPY model/ model/
COPY training/ training/
USER 10001:10001
VOLUME /runs
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]
