# Written by servd build.
FROM python:3.11-slim

ENV HOME=/tmp \
    MKL_NUM_THREADS=1 \
    NUMEXPR_NUM_THREADS=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    PYTHONPATH=/opt/servd/lib \
    PYTHONUNBUFFERED=1 \
    VECLIB_MAXIMUM_THREADS=1

USER 0:0

RUN echo 'servd:x:10001:10001:servd:/opt/servd:/bin/false' >>/etc/passwd \
 && echo 'servd:x:10001:' >>/etc/group

COPY requirements.txt constraints.txt /opt/servd/
RUN PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install \
    --no-cache-dir --disable-pip-version-check --no-input --progress-bar off \
    -r /opt/servd/requirements.txt -c /opt/servd/constraints.txt

COPY lib /opt/servd/lib
RUN python3 -m compileall -q /opt/servd/lib

LABEL io.servd.kind="frontend" \
      io.servd.protocol="2" \
      io.servd.python="3.11.7" \
      io.servd.servd="SERVD_VERSION" \
      org.opencontainers.image.base.name="python:3.11-slim" \
      org.opencontainers.image.description="A servd front end, which passes queries to replicas" \
      org.opencontainers.image.title="servd front end" \
      org.opencontainers.image.version="SERVD_VERSION"

USER 10001:10001

WORKDIR /tmp

EXPOSE 1337

STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python3", "-IS", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 1337, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["python3", "-m", "servd", "frontend", "--registry=/etc/servd/registry", "--bind=0.0.0.0", "--port=1337"]
