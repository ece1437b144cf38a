"""Who may reach whom on a cluster: network policies, keys and tokens."""

import base64
import dataclasses
import json

from k8s_adapter.cluster import cluster_objects
from k8s_adapter.faults import matches
from k8s_adapter.identity import Object
from k8s_adapter.options import Options
from k8s_adapter.snapshot import Snapshot
from tests.k8s_finding import container, names, one, pod


def test_only_frontends_reach_replicas(objects: list[Object]):
    """Port 7000 of every replica is open to frontends and to nobody else."""
    spec = one(objects, "NetworkPolicy", "servd-replica")["spec"]
    (rule,) = spec["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 7000}]
    (peer,) = rule["from"]
    labels = one(objects, "Deployment", "query-frontend")["spec"]["template"]["metadata"]["labels"]
    replica = one(objects, "Deployment", "feature-sum-1")["spec"]["template"]["metadata"]["labels"]
    assert matches(peer["podSelector"]["matchLabels"], labels)
    assert not matches(peer["podSelector"]["matchLabels"], replica)
    assert matches(spec["podSelector"]["matchLabels"], replica)


def test_frontends_reach_replicas_and_names_only(objects: list[Object]):
    """Frontends may ask the cluster's DNS and the replicas, and nothing else."""
    rules = one(objects, "NetworkPolicy", "query-frontend")["spec"]["egress"]
    ports = [{port["port"] for port in rule["ports"]} for rule in rules]
    assert ports == [{53, 5353}, {7000}]


def test_without_an_ingress_any_client_may_ask(objects: list[Object]):
    """Where the Service is the door, its port is open to everyone."""
    (rule,) = one(objects, "NetworkPolicy", "query-frontend")["spec"]["ingress"]
    assert rule == {"ports": [{"protocol": "TCP", "port": 1337}]}


def test_with_an_ingress_only_it_may_ask(snapshot: Snapshot, secured: Options):
    """Where an Ingress is the door, frontends admit its controller only."""
    options = dataclasses.replace(secured, ingress="models.example.com")
    objects = cluster_objects(snapshot, options)
    (rule,) = one(objects, "NetworkPolicy", "query-frontend")["spec"]["ingress"]
    (peer,) = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "ingress-nginx"
    }


def test_an_ingress_controller_may_be_anywhere(snapshot: Snapshot, secured: Options):
    """Without a namespace of the controller's, as on host networks, everyone is admitted."""
    options = dataclasses.replace(secured, ingress="a.example.com", ingress_namespace=None)
    objects = cluster_objects(snapshot, options)
    (rule,) = one(objects, "NetworkPolicy", "query-frontend")["spec"]["ingress"]
    assert "from" not in rule


def test_a_service_with_a_door_of_its_own_is_open_beside_an_ingress(
    snapshot: Snapshot, secured: Options
):
    """A load balancer's clients are let in although there is an Ingress, too."""
    options = dataclasses.replace(secured, ingress="a.example.com", service_type="LoadBalancer")
    objects = cluster_objects(snapshot, options)
    (rule,) = one(objects, "NetworkPolicy", "query-frontend")["spec"]["ingress"]
    assert "from" not in rule


def test_prometheus_may_ask_where_it_is_to(snapshot: Snapshot, secured: Options):
    """With a ServiceMonitor, frontends behind an Ingress admit Prometheus as well."""
    options = dataclasses.replace(secured, ingress="a.example.com", service_monitor=True)
    objects = cluster_objects(snapshot, options)
    (rule,) = one(objects, "NetworkPolicy", "query-frontend")["spec"]["ingress"]
    assert rule["from"][1]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    monitor = one(objects, "ServiceMonitor", "query-frontend")["spec"]["endpoints"][0]
    assert monitor["authorization"]["credentials"] == {"name": "servd-token", "key": "token"}


def test_an_open_door_is_measured_without_a_token(snapshot: Snapshot):
    """Where anyone may query, the ServiceMonitor carries no token."""
    objects = cluster_objects(snapshot, Options(service_monitor=True))
    monitor = one(objects, "ServiceMonitor", "query-frontend")["spec"]["endpoints"][0]
    assert "authorization" not in monitor


def mounted_keys(objects: list[Object], name: str) -> dict[str, set[str]]:
    """Return the files of Secrets that a Deployment's pods get, by volume."""
    volumes = pod(one(objects, "Deployment", name))["volumes"]
    return {
        volume["name"]: {item["key"] for item in volume["secret"]["items"]}
        for volume in volumes
        if "secret" in volume
    }


def test_each_side_gets_the_keys_that_it_needs(objects: list[Object]):
    """No frontend sees the replicas' secret key, and no replica the frontends'."""
    tls = {"replica.crt", "frontend.crt"}
    curve = {"replica.public", "frontend.public"}
    assert mounted_keys(objects, "query-frontend") == {
        "tls": tls | {"frontend.key"},
        "curve": curve | {"frontend.secret"},
    }
    assert mounted_keys(objects, "feature-sum-1") == {"tls": tls | {"replica.key"}}
    assert mounted_keys(objects, "prebuilt-9") == {"curve": curve | {"replica.secret"}}


def test_replicas_of_servds_own_making_are_reached_over_tls(objects: list[Object]):
    """Images that are replicas by themselves speak ZeroMQ: they are told what protocol.md says."""
    text = one(objects, "ConfigMap", "query-registry")["data"]["registry.json"]
    schemes = {key: found["scheme"] for key, found in json.loads(text)["endpoints"].items()}
    assert schemes.pop("prebuilt:9") == "tcp"
    assert set(schemes.values()) == {"tls"}
    arguments = container(one(objects, "Deployment", "feature-sum-1"))["args"]
    assert arguments[:2] == ["--listen", "tls://0.0.0.0:7000"]
    assert arguments[-2:] == ["--tls", "/etc/servd/tls"]
    for words in (["--tls", "/etc/servd/tls"], ["--curve", "/etc/servd/curve"]):
        arguments = container(one(objects, "Deployment", "query-frontend"))["args"]
        at = arguments.index(words[0])
        assert arguments[at : at + 2] == words


def test_keys_of_zeromq_are_exported_only_where_they_are_needed(
    snapshot: Snapshot, secured: Options
):
    """Without an image that is a replica by itself there is no word of them."""
    versions = tuple(version for version in snapshot.versions if not version.is_prebuilt)
    objects = cluster_objects(dataclasses.replace(snapshot, versions=versions), secured)
    assert names(objects, "Secret") == ["servd-tls", "servd-token"]
    assert "curve" not in json.dumps(objects)


def test_secrets_hold_the_texts(objects: list[Object]):
    """The Secrets hold the keys and the token as they were given."""
    for name, key in (("servd-tls", "replica.key"), ("servd-curve", "replica.secret")):
        text = base64.b64decode(one(objects, "Secret", name)["data"][key])
        assert text == f"not a key but the text of {key}".encode()
    assert (
        base64.b64decode(one(objects, "Secret", "servd-token")["data"]["token"]) == b"not-a-token"
    )


def test_without_keys_and_token_there_are_no_secrets(snapshot: Snapshot):
    """Without a token anyone may query, and the frontends are told so."""
    objects = cluster_objects(snapshot, Options())
    assert names(objects, "Secret") == []
    arguments = container(one(objects, "Deployment", "query-frontend"))["args"]
    assert "--public-queries" in arguments
    assert not {"--curve", "--tls"} & set(arguments)


def test_changed_keys_replace_the_pods(snapshot: Snapshot, secured: Options):
    """Pods read their keys once: with other keys they are replaced."""
    before = cluster_objects(snapshot, secured)
    for field, file, replica in (
        ("tls", "replica.key", "feature-sum-1"),
        ("curve", "replica.secret", "prebuilt-9"),
    ):
        texts = {**getattr(secured, field), file: "another"}
        after = cluster_objects(snapshot, dataclasses.replace(secured, **{field: texts}))
        changed = [
            found["metadata"]["name"]
            for found in before
            if found["kind"] == "Deployment"
            and found != one(after, "Deployment", found["metadata"]["name"])
        ]
        assert {"query-frontend", replica} <= set(changed)
        assert ("prebuilt-9" in changed) == (field == "curve")
