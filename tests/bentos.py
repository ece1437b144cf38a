"""Bundles as BentoML 0.13 writes them, by hand: it does not run on the Python of these tests."""

import pickle
from pathlib import Path
from typing import Any

import yaml

OLD_MODULE = '''
from bentoml import BentoService, api, artifacts, env, ver
from bentoml.adapters import ClipperFloatsInput, DataframeInput, JsonInput, StringInput
from bentoml.service.artifacts.common import PickleArtifact


@env(infer_pip_packages=True)
@artifacts([PickleArtifact("model")])
class OldIris(BentoService):
    """Tells irises apart."""

    @api(input=DataframeInput(), batch=True)
    def predict(self, df):
        return self.artifacts.model.predict(df.to_numpy())

    @api(input=DataframeInput(dtype={name: "float" for name in "abcd"}), batch=True)
    def typed(self, df):
        assert list(df.columns) == list("abcd")
        labels = self.artifacts.model.predict(df.to_numpy())
        return [{"label": int(each), "version": self.version} for each in labels]

    @api(input=ClipperFloatsInput())
    def predict_clipper(self, inputs):
        return [str(each) for each in self.artifacts.model.predict(inputs)]

    @api(input=JsonInput())
    def one(self, parsed):
        return {"class": int(self.artifacts.model.predict([parsed["x"]])[0])}

    @api(input=StringInput(), batch=True)
    def shouted(self, texts):
        return [text.upper() for text in texts]
'''
"""The code of a service, as it was written for BentoML."""

_INIT = "from bentoml import saved_bundle, configure_logging\n"
_APIS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "one": ("JsonInput", False, {}),
    "predict": ("DataframeInput", True, {"orient": None, "typ": "frame", "dtype": None}),
    "predict_clipper": ("ClipperFloatsInput", False, {}),
    "shouted": ("StringInput", True, {}),
    "typed": ("DataframeInput", True, {"typ": "frame", "dtype": dict.fromkeys("abcd", "float")}),
}


def fitted() -> Any:
    """Return a model that tells irises apart."""
    from sklearn import datasets, svm

    table = datasets.load_iris()
    return svm.SVC().fit(table.data, table.target)


def description(**more: Any) -> dict[str, Any]:
    """Return what bentoml.yml says."""
    return {
        "version": "0.13.1",
        "kind": "BentoService",
        "metadata": {
            "created_at": "2019-11-13 15:41:24.395000",
            "service_name": "OldIris",
            "service_version": "20191113154121_123456",
            "module_name": "old_iris",
            "module_file": "old_iris.py",
        },
        "env": {"python_version": "3.7.5", "pip_packages": ["bentoml==0.13.1", "scikit-learn"]},
        "apis": [
            {"name": name, "input_type": kind, "batch": batch, "input_config": config}
            for name, (kind, batch, config) in _APIS.items()
        ],
        "artifacts": [{"name": "model", "artifact_type": "PickleArtifact", "metadata": {}}],
    } | more


def write_description(folder: Path, **more: Any) -> None:
    """Write bentoml.yml; the version has no quotes there, though it looks like a number."""
    text = yaml.safe_dump(description(**more), sort_keys=False)
    (folder / "bentoml.yml").write_text(
        text.replace("'20191113154121_123456'", "20191113154121_123456")
    )


def old_bundle(folder: Path) -> Path:
    """Write a bundle and return its folder."""
    inner = folder / "OldIris"
    (inner / "artifacts").mkdir(parents=True)
    (inner / "__init__.py").write_text(_INIT)
    (inner / "old_iris.py").write_text(OLD_MODULE)
    (inner / "artifacts" / "model.pkl").write_bytes(pickle.dumps(fitted()))
    write_description(folder)
    for name in ("Dockerfile", "bentoml-init.sh", "requirements.txt", "environment.yml"):
        (folder / name).write_text("# as BentoML writes it\n")
    return folder
