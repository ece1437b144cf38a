"""Services of BentoML as targets: what a folder, a file and an API of them is, and what is none."""

import pytest

from servd.errors import TargetError
from servd.packing.bundling import BundleOptions, choose_name, plan_bundle
from servd.packing.kinds import find
from servd.packing.services import SeveralApisError, read_bento
from servd.packing.targets import parse_target
from tests.bentos import OLD_MODULE, old_bundle, write_description


def planned(target, cwd, **options):
    """Return the plan of a target's bundle."""
    return plan_bundle(parse_target(str(target)), BundleOptions(**options), cwd)


def test_an_api_of_a_bundle_is_planned_with_its_own_input_type(tmp_path):
    """Columns with types make rows; the deployer may say more, within what the API takes."""
    bundle = old_bundle(tmp_path / "OldIris")
    types = {
        api: planned(f"{bundle}:{api}", tmp_path).manifest.input_type
        for api in ("predict", "typed", "predict_clipper", "one", "shouted")
    }
    assert types == {
        "predict": "any",
        "typed": "rows",
        "predict_clipper": "floats",
        "one": "any",
        "shouted": "strings",
    }
    plan = planned(f"{bundle}:predict", tmp_path, input_type="doubles")
    assert (plan.manifest.input_type, plan.manifest.method) == ("doubles", "predict")
    assert choose_name(plan)[0] == "oldiris-predict"
    assert "scikit-learn" in plan.manifest.packages
    schema = {"type": "object", "properties": {"a": {"type": "number"}}}
    assert planned(f"{bundle}:predict", tmp_path, schema=schema).manifest.input_type == "rows"
    with pytest.raises(TargetError, match=r"takes StringInput \(input type strings\), and is"):
        planned(f"{bundle}:shouted", tmp_path, input_type="doubles")
    with pytest.raises(TargetError, match="nothing says which columns"):
        planned(f"{bundle}:predict", tmp_path, input_type="rows")
    with pytest.raises(TargetError, match="--method is for classes"):
        planned(f"{bundle}:predict", tmp_path, method="other")


def test_of_several_apis_each_is_told(tmp_path):
    """With how each is named as a target."""
    bundle = old_bundle(tmp_path / "OldIris")
    with pytest.raises(SeveralApisError, match="OldIris has 5 APIs: one, predict") as caught:
        planned(bundle, tmp_path)
    assert caught.value.targets[0] == f"{bundle}:one"
    with pytest.raises(TargetError, match="has no API 'shoutd'") as caught:
        planned(f"{bundle}:shoutd", tmp_path)
    assert caught.value.hint == "did you mean shouted?"


def test_an_input_that_servd_has_not_is_named(tmp_path):
    """And a package that is not installed."""
    bundle = old_bundle(tmp_path / "OldIris")
    write_description(bundle, apis=[{"name": "see", "input_type": "ImageInput"}])
    with pytest.raises(TargetError, match="takes ImageInput, which servd does not have"):
        planned(bundle, tmp_path)
    packages = {"python_version": "3.7.5", "pip_packages": ["no-such-package-here==1.0"]}
    write_description(bundle, env=packages)
    remarks = planned(f"{bundle}:one", tmp_path).found.remarks
    assert any(
        "names no-such-package-here, which is not installed here" in each for each in remarks
    )
    assert "the bundle was saved by Python 3.7.5" in remarks[0]


def test_handlers_of_bundles_before_0_8_are_inputs(tmp_path):
    """Under the names that they had."""
    bundle = old_bundle(tmp_path / "OldIris")
    apis = [{"name": "predict_clipper", "handler_type": "ClipperFloatsHandler"}]
    write_description(bundle, apis=apis)
    assert planned(bundle, tmp_path).manifest.input_type == "floats"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("service: [\n", "bento.yaml is damaged: line"),
        ("name: x\n", "it names no service"),
        ("- x\n", "it is no mapping"),
        ("service: ../x:S\n", "leads out of the bento"),
        ("service: service:S\n", "src/service.py is not there"),
    ],
)
def test_a_damaged_bento_is_named(tmp_path, text, words):
    """The file, and what is wrong with it."""
    (tmp_path / "bento.yaml").write_text(text)
    with pytest.raises(TargetError, match=words):
        parse_target(str(tmp_path))


def test_a_bento_names_the_file_and_the_service_in_it(tmp_path):
    """As an import names them, and the API behind that."""
    (tmp_path / "bento.yaml").write_text("service: lib.service:Summer\n")
    (tmp_path / "src" / "lib").mkdir(parents=True)
    (tmp_path / "src" / "lib" / "service.py").write_text("")
    assert read_bento(tmp_path) == (tmp_path / "src" / "lib" / "service.py", "Summer")
    target = parse_target(f"{tmp_path}:scale")
    assert (target.object, target.api) == ("Summer", "scale")


def test_what_is_no_service_has_no_api(tmp_path):
    """Nor is the class of a service of 0.13 one that could be deployed without its artifacts."""
    (tmp_path / "plain.py").write_text("def f(xs):\n    return xs\n")
    with pytest.raises(TargetError, match="'f' is no service of BentoML, and has no API x"):
        find(parse_target(f"{tmp_path / 'plain.py'}:f:x"))
    (tmp_path / "old.py").write_text(OLD_MODULE.replace("from bentoml", "from servd.bento"))
    with pytest.raises(TargetError, match="whose artifacts are packed before") as caught:
        find(parse_target(f"{tmp_path / 'old.py'}:OldIris"))
    assert "svc.save()" in caught.value.hint
