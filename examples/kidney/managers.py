"""Deploys a function that closes over a fitted model to processes, containers or a cluster.

Usage: python managers.py [stop] local|docker|kubernetes [--registry R] [--secret NAME]
"""

import argparse

from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from table import make_up

from servd.clipper import (
    ClipperConnection,
    DockerContainerManager,
    KubernetesContainerManager,
    LocalContainerManager,
)
from servd.clipper.deployers.python import deploy_python_closure

MANAGERS = {
    "local": LocalContainerManager,
    "docker": DockerContainerManager,
    "kubernetes": KubernetesContainerManager,
}


def asked():
    """Return what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["start", "stop"], default="start")
    parser.add_argument("where", choices=list(MANAGERS))
    parser.add_argument("--registry", help="where a cluster pulls its images from")
    parser.add_argument("--secret", help="the Secret with the registry's password")
    return parser.parse_args()


def connection(given):
    """Return a connection to the place that is asked for: the one line that differs."""
    options = {}
    if given.where == "kubernetes":
        options = {"image_registry": given.registry, "image_pull_secret": given.secret}
    return ClipperConnection(MANAGERS[given.where](**options))


def deploy(cluster):
    """Train, deploy, and have an application answer."""
    rows, labels = make_up()
    model = make_pipeline(
        SimpleImputer(keep_empty_features=True), GradientBoostingClassifier(random_state=0)
    ).fit(rows, labels)

    def predict(inputs):
        return [str(label) for label in model.predict(inputs)]

    cluster.start_clipper()
    cluster.register_application("kddtutorial", "doubles", "-1", 500_000)
    deploy_python_closure(cluster, "kidney-model", 1, "doubles", predict)
    cluster.link_model_to_app("kddtutorial", "kidney-model")
    print(f"kddtutorial answers at http://{cluster.get_query_addr()}/kddtutorial/predict")


given = asked()
cluster = connection(given)
if given.what == "start":
    deploy(cluster)
else:
    cluster.connect()
    cluster.stop_all()
