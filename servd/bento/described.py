"""Writes what describes a bundle: bentoml.yml and the files beside it. Used by saving.py."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from model_runtime.bento import __version__
from model_runtime.bento.service.env import name_of
from servd.bento.code import Module
from servd.finding.needs import installed_version

_README: Final = """# {tag}

A saved service of BentoML {version}'s layout: its code and its models. It is made by `svc.save()`,
and deployed by `servd deploy {path}`: change the code that it was saved by, not what is here.
{doc}"""
_INIT: Final = '''"""The saved service {name}:{version}."""

from pathlib import Path

__VERSION__ = "{version}"


def load():
    """Return the service, with its artifacts."""
    from servd.bento import load_from_dir

    return load_from_dir(Path(__file__).parents[1])
'''
_SETUP: Final = '''"""Installs the saved service {name} as a package."""

from pathlib import Path

import setuptools

here = Path(__file__).parent
lines = (here / "requirements.txt").read_text().splitlines()

setuptools.setup(
    name={name!r},
    version={version!r},
    description="a saved service",
    packages=setuptools.find_packages(),
    install_requires=[line for line in lines if line and not line.startswith(("-", "#"))],
    include_package_data=True,
    package_data={{{name!r}: ["bentoml.yml", "artifacts/*"]}},
)
'''
_MANIFEST: Final = "include {name}/bentoml.yml\ngraft {name}/artifacts\n"


def write(service: Any, folder: Path, module: Module, labels: dict[str, str] | None) -> None:
    """Write the files that describe a service into its bundle."""
    name, version, env = service.name, service.version, service.env
    if env.infer_pip_packages:
        env.add_pip_packages(f"{each}=={pin}" for each, pin in module.packages.items())
    env.pip_packages = [_pinned(each) for each in env.pip_packages]
    inner = folder / name
    words = {"name": name, "version": version}
    doc = type(service).__doc__ or ""
    texts = {
        "README.md": _README.format(
            tag=service.tag, version=__version__, path=folder.name, doc=doc
        ),
        "requirements.txt": env.requirements(),
        "python_version": f"{env.python_version}\n",
        "setup.py": _SETUP.format(**words),
        "MANIFEST.in": _MANIFEST.format(**words),
        "docs.json": json.dumps(_document(service), indent=2) + "\n",
        f"{name}/__init__.py": _INIT.format(**words),
    }
    for file, text in texts.items():
        (folder / file).write_text(text, "utf-8")
    _write_conda(env, folder / "environment.yml")
    if env.setup_sh is not None:
        _write_setup(env.setup_sh, folder / "setup.sh")
    description = yaml.safe_dump(_description(service, module, labels), sort_keys=False)
    for place in (folder, inner):
        (place / "bentoml.yml").write_text(description, "utf-8")


def _pinned(requirement: str) -> str:
    """Return a requirement with the version that is installed, where it names none."""
    plain = name_of(requirement)
    if plain != requirement.strip().lower().replace("_", "-"):
        return requirement
    version = installed_version(plain)
    return requirement if version is None else f"{requirement}=={version}"


def _write_conda(env: Any, path: Path) -> None:
    if env.conda_env_yml_file is not None:
        shutil.copyfile(env.conda_env_yml_file, path)
        return
    path.write_text(yaml.safe_dump(env.conda_env(), sort_keys=False), "utf-8")


def _write_setup(given: str, path: Path) -> None:
    """Write a script of the user's, which is given as a file or as its text."""
    is_file = "\n" not in given and Path(given).is_file()
    path.write_text(Path(given).read_text("utf-8") if is_file else given, "utf-8")
    path.chmod(0o755)


def _description(service: Any, module: Module, labels: dict[str, str] | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "created_at": datetime.now(UTC).replace(tzinfo=None),
        "service_name": service.name,
        "service_version": service.version,
        "module_name": module.name,
        "module_file": module.file,
    }
    if labels:
        metadata["labels"] = {str(key): str(value) for key, value in labels.items()}
    return {
        "version": __version__,
        "kind": "BentoService",
        "metadata": metadata,
        "env": service.env.to_dict(),
        "apis": [_api(api) for api in service.inference_apis],
        "artifacts": [
            {"name": name, "artifact_type": _kind(each), "metadata": _plain(each.metadata)}
            for name, each in service.artifacts.items()
        ],
    }


def _kind(artifact: Any) -> str:
    return type(artifact).__name__


def _plain(value: Any) -> Any:
    """Return what a file of YAML can hold of a value: JSON's, with texts for the rest."""
    return json.loads(json.dumps(value, default=str))


def _api(api: Any) -> dict[str, Any]:
    told = {
        "name": api.name,
        "docs": api.doc,
        "input_type": _kind(api.input_adapter),
        "output_type": _kind(api.output_adapter),
        "mb_max_batch_size": api.mb_max_batch_size,
        "mb_max_latency": api.mb_max_latency,
        "batch": api.batch,
        "route": api.route,
    }
    for key, adapter in (
        ("input_config", api.input_adapter),
        ("output_config", api.output_adapter),
    ):
        if adapter.config:
            told[key] = _plain(adapter.config)
    return told


def _document(service: Any) -> dict[str, Any]:
    """Return an OpenAPI document of the service's APIs."""
    body: dict[str, Any] = {"content": {"application/json": {"schema": {}}}}
    paths = {
        f"/{api.route.strip('/')}": {
            "post": {
                "summary": api.doc,
                "operationId": api.name,
                "requestBody": body,
                "responses": {"200": {"description": "the output", **body}},
            }
        }
        for api in service.inference_apis
    }
    info = {"title": service.name, "version": service.version}
    return {"openapi": "3.0.0", "info": info, "paths": paths}
