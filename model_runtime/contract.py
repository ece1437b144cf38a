"""What a replica and whoever starts it agree on, beside the messages (protocol.py).

Used by the daemon, by images and by exports too: a number that is written twice drifts.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Final

REPLICA_PORT: Final = 7000
"""Where a replica in a container listens for front ends."""

HEALTH_PORT: Final = 7001
"""Where it answers probers."""

WEB_PORT: Final = 7002
"""Where a replica in a container that is a web application answers its requests."""

EXIT_LOAD_FAILED: Final = 3
"""The status of a replica whose model could not be loaded; it has told why before."""

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""By what numeric libraries are told how many threads they may take; each takes all otherwise."""

ALL_THREAD_VARIABLES: Final = (
    *THREAD_VARIABLES,
    *("BLIS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
"""Those, and what else is told where a deployer has said how many (PyTorch and ONNX Runtime's
loader go by OMP_NUM_THREADS)."""

HIDDEN_VARIABLE: Final = "SERVD_HIDDEN"
"""Has the names of variables whose values are not to be told, with commas between."""

DEVICE_VARIABLE: Final = "SERVD_DEVICE"
"""Has what a replica is to compute on, where its deployer said so: "cpu" or "cuda"."""

PARENT_VARIABLE: Final = "SERVD_PARENT_PID"
"""Has the process id of whoever a process is to end with."""

_PR_SET_PDEATHSIG: Final = 1
_LOOK_S: Final = 1.0

_DISTRIBUTIONS: Final = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "Levenshtein": "levenshtein",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",  # without a display's libraries, which servers lack
    "dateutil": "python-dateutil",
    "dns": "dnspython",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "google.protobuf": "protobuf",
    "hydra": "hydra-core",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "nacl": "pynacl",
    "pkg_resources": "setuptools",
    "psycopg2": "psycopg2-binary",
    "ruamel": "ruamel.yaml",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "sksurv": "scikit-survival",
    "slugify": "python-slugify",
    "snappy": "python-snappy",
    "surprise": "scikit-surprise",
    "umap": "umap-learn",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}


def distribution(module: str) -> str:
    """Return the name under which a module is installed, which may be another than its own."""
    return _DISTRIBUTIONS.get(module, module)


def die_with_parent(parent: int) -> None:
    """End with the process that started this one, however it ends."""
    try:
        import ctypes  # noqa: PLC0415 - not every Python was built with it
    except ImportError:
        threading.Thread(target=_watch, args=(parent,), name="servd-parent", daemon=True).start()
    else:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGKILL)
