"""KubernetesContainerManager: what it exports, and what it tells kubectl, which a program stands in
for. Images are not built; tests/docker/test_clipper_containers.py has those.
"""

import json

import pytest
import yaml

from servd.clipper import ClipperConnection, ClipperException, KubernetesContainerManager
from servd.clipper.deployers.python import create_endpoint, deploy_python_closure
from servd.clipper.kubernetes.cluster_export import ClusterExport
from tests.fake_kubectl import install


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Return a cluster that kubectl leads to; it has a namespace default."""
    return install(tmp_path, monkeypatch)


@pytest.fixture
def images_are_there(monkeypatch):
    """Have exports name images that need not be built."""
    real = ClusterExport._export

    def without_building(self, *more):
        return real(self, *(word for word in more if word not in ("--build", "--push")))

    monkeypatch.setattr(ClusterExport, "_export", without_building)


def feature_sum(xs):
    """Return sums."""
    return [str(sum(x)) for x in xs]


@pytest.mark.slow
@pytest.mark.usefixtures("place", "images_are_there")
def test_models_come_to_a_cluster_and_go(cluster, tmp_path):
    """Each change is exported and applied; pods are waited for; the Service's address is told."""
    connection = ClipperConnection(KubernetesContainerManager(useInternalIP=True))
    connection.start_clipper(num_frontend_replicas=2)
    create_endpoint(connection, "sum", "doubles", feature_sum, registry="registry.example/team")
    assert connection.get_query_addr() == "192.0.2.4:31337"
    assert cluster.names("deployment") == {"sum-1", "query-frontend"}
    front_end = json.loads((cluster.store / "deployment-query-frontend.json").read_text())
    assert front_end["spec"]["replicas"] == 2
    pod = json.loads((cluster.store / "deployment-sum-1.json").read_text())
    image = pod["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith("registry.example/team/")
    waited = {words[4] for words in cluster.calls("rollout")}
    assert waited == {"deployment/sum-1", "deployment/query-frontend"}
    published = yaml.safe_load((cluster.store / "configmap-query-registry.json").read_text())
    assert "feature" not in str(published)
    assert '"sum"' in str(published["data"])
    deploy_python_closure(connection, "sum", 2, "doubles", feature_sum)
    connection.set_model_version("sum", 1)
    connection.stop_versioned_models({"sum": ["2"]})
    assert cluster.names("deployment") == {"sum-1", "query-frontend"}
    (cluster.store / "pods.json").write_text(
        json.dumps(
            {"items": [{"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}]}
        )
    )
    files = connection.get_clipper_logs(str(tmp_path / "logs"))
    assert (tmp_path / "logs" / "p_0.log").read_text() == "a line of p\n"
    assert str(tmp_path / "logs" / "p_0.log") in files
    connection.stop_all()
    assert not cluster.names("deployment")
    assert cluster.names("namespace") == {"default"}
    connection.stop_all()


@pytest.mark.slow
@pytest.mark.usefixtures("place", "images_are_there")
@pytest.mark.parametrize(
    ("kind", "proxy", "address"),
    [
        ("LoadBalancer", None, "lb.example:1337"),
        ("ClusterIP", None, "10.0.0.7:1337"),
        (
            "NodePort",
            "127.0.0.1:8080",
            "127.0.0.1:8080/api/v1/namespaces/ml/services/query-frontend:1337/proxy",
        ),
    ],
)
def test_addresses_by_the_type_of_service(cluster, kind, proxy, address):
    """A load balancer's, the Service's own, or a path through kubectl proxy; in a new namespace."""
    types = dict.fromkeys(("redis", "management", "query", "query-rpc", "metric"), kind)
    manager = KubernetesContainerManager(
        namespace="ml",
        kubernetes_proxy_addr=proxy,
        service_types=types,
        create_namespace_if_not_exists=True,
    )
    connection = ClipperConnection(manager)
    connection.start_clipper()
    create_endpoint(connection, "sum", "doubles", feature_sum)
    assert connection.get_query_addr() == address
    assert cluster.names("namespace") == {"default", "ml"}
    again = ClipperConnection(KubernetesContainerManager(namespace="ml", service_types=types))
    if proxy is None:
        again.connect()
        assert again.get_query_addr() == address
    connection.stop_all()


@pytest.mark.usefixtures("place", "cluster", "images_are_there")
def test_what_no_cluster_takes_is_said():
    """A namespace that is not there, and nodes without an address."""
    connection = ClipperConnection(KubernetesContainerManager(namespace="gone"))
    with pytest.raises(ClipperException, match="create_namespace_if_not_exists=True"):
        connection.start_clipper()
    connection = ClipperConnection(KubernetesContainerManager())
    connection.start_clipper()
    with pytest.raises(ClipperException, match="useInternalIP=True"):
        create_endpoint(connection, "sum", "doubles", feature_sum)
    connection.stop_all()


@pytest.mark.usefixtures("place")
def test_without_kubectl_it_says_what_to_do(monkeypatch, tmp_path):
    """The message names kubectl."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClipperException, match="kubectl is not installed"):
        ClipperConnection(KubernetesContainerManager()).start_clipper()


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ("NodePort", "must be 'dict' type"),
        ({"query": "NodePort"}, "unknown keys"),
        ("Nothing", "unknown values"),
        ("ExternalName", "does not support 'ExternalName' service"),
    ],
)
def test_service_types_are_checked(types, said):
    """Four ways to say them wrong, each with its words."""
    if said[0] != "m" and isinstance(types, str):
        types = dict.fromkeys(("redis", "management", "query", "query-rpc", "metric"), types)
    with pytest.raises(ClipperException, match=said):
        KubernetesContainerManager(service_types=types)
