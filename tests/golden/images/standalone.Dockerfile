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

COPY applications.json /opt/servd/applications.json

COPY bundle /opt/servd/bundle

LABEL io.servd.bundle="00000000000000000000000000000000" \
      io.servd.input-type="doubles" \
      io.servd.kind="standalone" \
      io.servd.model="iris" \
      io.servd.protocol="2" \
      io.servd.python="3.11.7" \
      io.servd.servd="SERVD_VERSION" \
      io.servd.version="1" \
      org.opencontainers.image.base.name="python:3.11-slim" \
      org.opencontainers.image.description="A model that answers HTTP queries on one port" \
      org.opencontainers.image.title="iris 1" \
      org.opencontainers.image.version="1"

USER 10001:10001

WORKDIR /tmp

EXPOSE 5000

STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python3", "-IS", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 5000, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]

ENTRYPOINT ["python3", "-m", "servd", "serve-one", "--bundle=/opt/servd/bundle", "--applications=/opt/servd/applications.json", "--bind=0.0.0.0", "--port=5000"]
