# The server with everything it needs; runs as a user without rights on a read-only root (see compose.yaml).
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY nlp_compliance nlp_compliance
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install -r requirements.txt \
 && /opt/venv/bin/pip install --no-deps . \
 && /opt/venv/bin/pip install "psycopg[binary]==3.3.9" "rapidocr==3.10.0"

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 desk && useradd --uid 10001 --gid desk --no-create-home --shell /usr/sbin/nologin desk \
 && install -d -o desk -g desk /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NLP_COMPLIANCE_DATA_DIR=/data \
    NLP_COMPLIANCE_HOST=0.0.0.0 \
    NLP_COMPLIANCE_PORT=8000
USER desk
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Requests in hand are finished before the process ends.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["nlp-compliance"]
CMD ["serve"]
