"""A web application under uvicorn alone, with the settings that it has in a replica.

`python -m benchmarks.baselines.web_alone NAME PORT`, where NAME is one of models/web.py.
"""

import sys

import uvicorn

from benchmarks.models import web
from model_runtime.web.serving import WebApp, config_of

if __name__ == "__main__":
    config = config_of(WebApp(getattr(web, sys.argv[1]), "asgi"))
    config.port = int(sys.argv[2])
    uvicorn.Server(config).run()
