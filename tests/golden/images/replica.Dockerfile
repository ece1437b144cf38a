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

COPY bundle /opt/servd/bundle

ENV SERVD_MAX_BATCH="-1" \
    SERVD_MODEL_NAME="iris" \
    SERVD_MODEL_VERSION="1"

LABEL io.servd.bundle="00000000000000000000000000000000" \
      io.servd.input-type="doubles" \
      io.servd.kind="replica" \
      io.servd.model="iris" \
      io.servd.protocol="2" \
      io.servd.python="3.11.7" \
      io.servd.servd="SERVD_VERSION" \
      io.servd.version="1" \
      org.opencontainers.image.base.name="python:3.11-slim" \
      org.opencontainers.image.description="A replica of a model, for servd front ends" \
      org.opencontainers.image.title="iris 1" \
      org.opencontainers.image.version="1"

USER 10001:10001

WORKDIR /tmp

EXPOSE 7000

STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python3", "-IS", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 7001, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["python3", "-m", "model_runtime", "--listen=tcp://0.0.0.0:7000", "--health=0.0.0.0:7001", "--bundle=/opt/servd/bundle"]
