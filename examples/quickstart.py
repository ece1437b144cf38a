"""What `make quickstart` runs: starts a daemon, deploys a function, asks it for a prediction.

Everything goes through the `servd` command and plain HTTP, as a user would do it. The daemon keeps
its files in .servd/ beside the Makefile and takes free ports where servd's own are in use.
"""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVD = Path(sys.executable).with_name("servd")
TARGET = "examples/clipper_tutorial/func.py:feature_sum"
BODY = '{"input":[1.1,2.2,3.3]}'
ENV = os.environ | {"SERVD_DATA_DIR": str(ROOT / ".servd")}


def servd(*args):
    """Show and run a servd command; end with its exit code where it fails."""
    print(f"\n$ servd {' '.join(args)}", flush=True)
    done = subprocess.run([SERVD, *args], cwd=ROOT, env=ENV, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


def status():
    """Return the daemon's status, or None where none runs."""
    command = [SERVD, "--json", "status"]
    done = subprocess.run(command, cwd=ROOT, env=ENV, check=False, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def port_or_free(port):
    """Return `port` if nothing listens on it, otherwise any free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def main():
    if status() is None:
        servd("start", "--query-port", port_or_free(1337), "--admin-port", port_or_free(1338))
    servd("deploy", TARGET)
    url = status()["query_url"].rstrip("/") + "/feature_sum/predict"
    print(f"\n$ curl -d '{BODY}' {url}")
    with urllib.request.urlopen(url, data=BODY.encode(), timeout=10) as answer:  # noqa: S310
        text = answer.read().decode().strip()
    print(text)
    if json.loads(text)["output"] != 6.6:
        sys.exit("error: the answer should be 6.6")
    print(f"""
The daemon is running. To go on:
  . .venv/bin/activate
  export SERVD_DATA_DIR={ENV["SERVD_DATA_DIR"]}
  servd ps                      what runs
  servd deploy FILE.py:FUNCTION your own model (docs/deploying.md)
  servd stop                    stop the daemon""")


main()
