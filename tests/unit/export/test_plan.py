"""From a registry and settings to files: images, forms, what is refused."""

from dataclasses import replace

import msgspec
import pytest
import yaml

from servd import __version__
from servd.datatypes import RegistryState, VersionId
from servd.errors import InvalidValueError, NotFoundError, ServdError
from servd.export.plan import SINGLE, plan_export
from servd.export.settings import ExportSettings, Form, Shape

STANDALONE = {"shape": Shape.STANDALONE}


def images_of(plan) -> set[str]:
    """Return the images that the containers of an export have."""
    return {
        container["image"]
        for found in plan.objects
        if found["kind"] == "Deployment"
        for container in found["spec"]["template"]["spec"]["containers"]
    }


def change(registry, **fields):
    """Make another version of `tags` out of the one that is registered."""
    key = VersionId("tags", "1")
    registry.versions[key] = msgspec.structs.replace(registry.versions[key], **fields)


def test_every_version_has_an_image_of_the_registry(registry, secrets):
    """A version's image is called like it; the plan names all images that are needed."""
    contents = {"iris:1": "a1", "": "b2"}
    settings = ExportSettings(image_registry="host:5000/team")
    plan = plan_export(registry, settings, secrets, contents)
    bundle = "0" * 12
    expected = {f"iris:2-{bundle}", f"tags:1-{bundle}", "iris:1-a1"}
    expected |= {f"servd-frontend:{__version__}-b2"}
    assert set(plan.images) == {f"host:5000/team/{name}" for name in expected}
    assert images_of(plan) == set(plan.images)


def test_a_web_application_is_exported_with_what_serves_it_only(registry, secrets):
    """Between front ends and replicas of other machines its requests would not be encrypted."""
    change(registry, web="asgi")
    with pytest.raises(ServdError, match="tags:1 is a web application") as caught:
        plan_export(registry, ExportSettings(), secrets)
    assert "--standalone" in caught.value.hint
    assert plan_export(registry, ExportSettings(apps=("iris",)), secrets).images


def test_a_version_that_was_deployed_as_an_image_keeps_it(registry, secrets):
    """Its own reference is exported, and it is not built."""
    change(registry, image="other.example/tags:9", bundle=None)
    plan = plan_export(registry, ExportSettings(image_registry="host/team"), secrets)
    assert "other.example/tags:9" in images_of(plan)
    assert "other.example/tags:9" not in plan.images


def test_an_image_of_others_is_named_by_its_digest_where_that_is_known(registry, secrets):
    """Its name may be given to another; that is said where there is nothing better."""
    image = {"image": "other.example/tags:9", "bundle": None, "runtime": "docker"}
    change(registry, **image)
    plan = plan_export(registry, ExportSettings(), secrets)
    assert any("a name that may be given to another image" in text for text in plan.warnings)
    pinned = f"other.example/tags@sha256:{'1' * 64}"
    change(registry, image_digest=pinned)
    plan = plan_export(registry, ExportSettings(), secrets)
    assert pinned in images_of(plan)
    assert not any("another image" in text for text in plan.warnings)
    change(registry, image_digest="sha256:2")  # the engine's own, which no node knows
    assert "other.example/tags:9" in images_of(plan_export(registry, ExportSettings(), secrets))


@pytest.mark.parametrize("shape", list(Shape))
def test_two_data_directories_never_share_the_name_of_an_image(registry, secrets, shape):
    """Numbers of versions begin again; what is in an image tells it from others of its number."""
    versions = {
        key: msgspec.structs.replace(version, bundle="f" * 32)
        for key, version in registry.versions.items()
    }
    other = msgspec.structs.replace(registry, versions=versions)
    both = [
        {
            image
            for image in plan_export(each, ExportSettings(shape=shape), secrets).images
            if "frontend" not in image
        }
        for each in (registry, other)
    ]
    assert both[0]
    assert both[0].isdisjoint(both[1])


def test_files_that_were_mounted_into_an_image_get_one_of_their_own(registry, secrets):
    """The image that they were deployed into does not hold them, and is not to be overwritten."""
    change(registry, image="other.example/base:9", runtime="docker")
    plan = plan_export(registry, ExportSettings(image_registry="host/team"), secrets)
    assert "other.example/base:9" not in images_of(plan) | set(plan.images)
    assert f"host/team/tags:1-{'0' * 12}" in plan.images


def test_a_version_that_was_only_registered_is_left_out(registry, secrets):
    """There is nothing to run; it is said."""
    change(registry, bundle=None)
    plan = plan_export(registry, ExportSettings(), secrets)
    assert "tags:1" not in plan.images
    assert any("tags:1" in text for text in plan.warnings)


def test_the_same_state_gives_the_same_bytes(registry, secrets):
    """Whatever the order of the registry, an export is the same."""
    turned = msgspec.structs.replace(
        registry,
        versions=dict(reversed(registry.versions.items())),
        applications=dict(reversed(registry.applications.items())),
    )
    for form in Form:
        settings = ExportSettings(form=form)
        first = plan_export(registry, settings, secrets).files
        assert plan_export(turned, settings, secrets).files == first


def test_applications_are_chosen_by_name(registry, secrets):
    """Only a named application's models are exported, with all their versions."""
    plan = plan_export(registry, ExportSettings(apps=("iris",)), secrets)
    assert plan.applications == ("iris",)
    assert not any("tags" in name for name in plan.images)
    assert any(name.startswith("iris-1") for name in plan.files)


@pytest.mark.parametrize("form", [Form.SINGLE_FILE, Form.DIRECTORY, Form.KUSTOMIZE])
def test_all_forms_have_the_same_objects(registry, secrets, form):
    """One file, a folder and a kustomization hold each object once."""
    plan = plan_export(registry, ExportSettings(form=form), secrets)
    texts = [text for name, text in plan.files.items() if name != "kustomization.yaml"]
    bodies = [body for text in texts for body in yaml.safe_load_all(text)]
    assert len(bodies) == len(plan.objects)
    assert (SINGLE in plan.files) is (form is Form.SINGLE_FILE)


def test_the_standalone_shape_has_one_image_an_application(registry, secrets):
    """Each application's image has its model inside: that of the current version."""
    plan = plan_export(registry, ExportSettings(**STANDALONE), secrets)
    assert images_of(plan) == set(plan.images)
    bundle = "0" * 12
    assert set(plan.images) == {f"iris-standalone:2-{bundle}", f"tags-standalone:1-{bundle}"}
    kinds = [found["kind"] for found in plan.objects]
    assert kinds.count("Deployment") == kinds.count("Service") == 2
    assert "Secret" not in kinds


def test_the_standalone_image_can_have_a_name_of_its_own(registry, secrets):
    """`--image` names the image of the one application."""
    settings = ExportSettings(**STANDALONE, apps=("iris",), image="gcr.io/p/ml-serving:0.0.1")
    assert images_of(plan_export(registry, settings, secrets)) == {"gcr.io/p/ml-serving:0.0.1"}


def test_the_shapes_have_defaults_of_their_own(registry, secrets):
    """The standalone shape has the tutorials' request and Service, the cluster shape less."""
    standalone = plan_export(registry, ExportSettings(**STANDALONE), secrets).options
    assert (standalone.cpu_request, standalone.service_type) == ("1", "LoadBalancer")
    cluster = plan_export(registry, ExportSettings(), secrets).options
    assert (cluster.cpu_request, cluster.service_type) == ("100m", "ClusterIP")
    given = ExportSettings(**STANDALONE, cpu_request="2", service_type="NodePort")
    assert plan_export(registry, given, secrets).options.cpu_request == "2"


def test_a_token_is_exported(registry, secrets):
    """Where queries need a token here, they do there."""
    guarded = replace(secrets, token="not-a-token")
    for shape in Shape:
        plan = plan_export(registry, ExportSettings(shape=shape), guarded)
        assert "servd-token" in {found["metadata"]["name"] for found in plan.objects}


def test_an_ingress_lets_its_controller_in(registry, secrets):
    """The policy names the controller's namespace, or lets anybody in who asks."""

    def callers(**given):
        settings = ExportSettings(ingress="models.example.com", **given)
        policies = [
            found
            for found in plan_export(registry, settings, secrets).objects
            if (found["kind"], found["metadata"]["name"]) == ("NetworkPolicy", "query-frontend")
        ]
        return str(policies[0]["spec"]["ingress"])

    assert "'ingress-nginx'" in callers()
    assert "'traefik'" in callers(ingress_namespace="traefik")
    assert "namespaceSelector" not in callers(ingress_namespace="any")


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"apps": ("irsi",)}, NotFoundError, ("'irsi'", "did you mean iris")),
        ({"kube_version": "1.99"}, InvalidValueError, ("1.99", "--kube-version")),
        ({"kube_version": "new"}, InvalidValueError, ("'new'", "--kube-version")),
        ({"namespace": "My_Shop"}, InvalidValueError, ("RFC 1123", "my-shop")),
        ({"image_pull_secret": "a b"}, InvalidValueError, ("pull secret", "a-b")),
        ({"ingress_namespace": "A"}, InvalidValueError, ("ingress namespace", "RFC 1123")),
        ({"cpu_request": "much"}, InvalidValueError, ("'much'", "250m")),
        ({"memory": "-1"}, InvalidValueError, ("'-1'", "512Mi")),
        ({"service_type": "loadbalancer"}, InvalidValueError, ("loadbalancer", "LoadBalancer")),
        ({"image_registry": "https://host/team"}, ServdError, ("https", "scheme")),
        ({"min_replicas": 9}, InvalidValueError, ("--max 5", "--min 9")),
        ({**STANDALONE, "form": Form.HELM}, InvalidValueError, ("one application", "iris, tags")),
        ({**STANDALONE, "image": "a/b:1"}, InvalidValueError, ("--image", "iris, tags")),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else None,
)
def test_what_is_wrong_is_said_with_a_way_out(registry, secrets, given, kind, words):
    """An option or a name that does not do is refused with its rule and a valid one."""
    with pytest.raises(kind) as refused:
        plan_export(registry, ExportSettings(**given), secrets)
    said = f"{refused.value.message} {refused.value.hint}"
    assert all(word in said for word in words), said


@pytest.mark.parametrize("shape", Shape)
def test_nothing_deployed_is_refused(secrets, shape):
    """An export of nothing says how to deploy something."""
    with pytest.raises(ServdError, match="nothing to export") as refused:
        plan_export(RegistryState(), ExportSettings(shape=shape), secrets)
    assert "servd deploy" in refused.value.hint
    assert refused.value.code == "nothing_to_export"
