"""A program that stands in for kubectl: objects are files of a folder. Tests put it on PATH."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

KUBECTL = '''#!{python}
"""Keeps objects as files in a folder, as far as kubectl is asked."""
import json, pathlib, sys
store = pathlib.Path({store!r})
words = sys.argv[1:]
with (store / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
assert words[0] == "--namespace"
space, verb, rest = words[1], words[2], words[3:]

def place(body):
    return store / f"{{body['kind'].lower()}}-{{body['metadata']['name']}}.json"

def bodies():
    import yaml # takes longer than all else that is asked
    for flag, path in zip(rest, rest[1:]):
        if flag == "--filename":
            path = pathlib.Path(path)
            for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
                yield from filter(None, yaml.safe_load_all(file.read_text()))

if verb == "get":
    if rest[0] in ("pods", "nodes"):
        found = store / f"{{rest[0]}}.json"
    else:
        found = store / f"{{rest[0]}}-{{rest[1]}}.json"
    if found.exists():
        print(found.read_text())
elif verb == "apply":
    for body in bodies():
        assert body["metadata"].get("namespace", space) == space
        if body["kind"] == "Service" and body["metadata"]["name"] == "query-frontend":
            body["spec"]["clusterIP"] = "10.0.0.7"
            body["spec"]["ports"][0]["nodePort"] = 31337
            body["status"] = {{"loadBalancer": {{"ingress": [{{"hostname": "lb.example"}}]}}}}
        place(body).write_text(json.dumps(body))
elif verb == "delete":
    for body in bodies():
        place(body).unlink(missing_ok=True)
elif verb == "create":
    (store / f"namespace-{{rest[1]}}.json").write_text("{{}}")
elif verb == "rollout":
    name = rest[1].partition("/")[2]
    sys.exit(0 if (store / f"deployment-{{name}}.json").exists() else f"no {{name}}")
elif verb == "logs":
    print("a line of", rest[0])
else:
    sys.exit(f"unknown: {{words}}")
'''
NODES = {"items": [{"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.4"}]}}]}


class Cluster:
    """What kubectl was told: its calls, and the objects that the cluster has."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def calls(self, verb):
        """Return the calls of a verb."""
        lines = (self.store / "calls").read_text().splitlines()
        return [words for words in map(json.loads, lines) if words[2] == verb]

    def names(self, kind):
        """Return the names of the objects of a kind."""
        return {path.stem.partition("-")[2] for path in self.store.glob(f"{kind}-*.json")}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Put a kubectl of its own on PATH; its cluster has a namespace default and a node."""
    store, programs = folder / "store", folder / "bin"
    store.mkdir()
    programs.mkdir()
    kubectl = programs / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable, store=str(store)))
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    (store / "namespace-default.json").write_text("{}")
    (store / "nodes.json").write_text(json.dumps(NODES))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return Cluster(store)
