"""`servd export-k8s`: what is deployed here, as files for a Kubernetes cluster."""

from typing import Final

import click

from servd.cli.build import addition_options
from servd.cli.values import POSITIVE
from servd.cli.verb import option, together, verb

place_options: Final = together(
    option("--out", "DIR", "A folder with a file for each object.  [default: k8s]"),
    option("--single-file", "FILE", "All objects in one file."),
    option("--helm", "DIR", "A Helm chart."),
    option("--kustomize", "DIR", "A folder for kubectl apply -k."),
)
"""Decorates a verb with the flags that say where an export is."""

setting_options: Final = together(
    click.option("--standalone", is_flag=True, help="Each application in one image of its own."),
    click.option("--seldon", is_flag=True, help="The same, as SeldonDeployments for Seldon Core."),
    option("--namespace", "NAME", "Namespace of all objects.  [default: servd]"),
    option("--image-registry", "HOST[/PATH]", "Registry that nodes pull images from."),
    option("--cpu-request", "CPU", "CPU of a pod, as in 250m or 1.  [default: 100m, 1]"),
    option("--memory", "SIZE", "Memory of a pod, as in 512Mi.  [default: 256Mi to 1Gi]"),
    option(
        "--service-type",
        "TYPE",
        "ClusterIP, NodePort or LoadBalancer.  [default: ClusterIP, standalone: LoadBalancer]",
    ),
    option("--ingress", "HOST", "Make an Ingress for that host."),
    option("--ingress-class", "NAME", "Its class.  [default: the cluster's]"),
    option(
        "--ingress-namespace",
        "NAME",
        "Where its controller runs, or any.  [default: ingress-nginx]",
    ),
    option("--image-pull-secret", "NAME", "Secret with the registry's password."),
    option("--kube-version", "VERSION", "Oldest Kubernetes to run on.  [default: 1.29]"),
    option("--image", "REF", "The standalone image, if it has a name of its own."),
    option(
        "--base-image",
        "IMAGE",
        "What images are built on.  [env: SERVD_BASE_IMAGE; default: python:X.Y-slim]",
    ),
    option(
        "--min",
        "N",
        "Least copies of a model.  [default: those it has here]",
        name="min_replicas",
        type=POSITIVE,
    ),
    option(
        "--max", "N", "Most copies of a model.  [default: 5]", name="max_replicas", type=POSITIVE
    ),
    option(
        "--cpu-target", "N", "Percent of the CPU request to scale at.  [default: 40]", type=POSITIVE
    ),
    option("--frontends", "N", "Pods that answer queries.  [default: 2]", type=POSITIVE),
    click.option("--service-monitor", is_flag=True, help="Add one for Prometheus."),
)
"""Decorates a verb with the flags that say what an export is to be like."""


@verb(
    "export-k8s",
    body="servd.cli.export_k8s_body:export",
    examples=(
        "servd export-k8s --image-registry registry.example/team --build --push --check",
        "servd export-k8s iris --standalone --single-file iris.yaml --namespace ml",
    ),
)
@click.argument("apps", metavar="[APP]...", nargs=-1)
@place_options
@setting_options
@addition_options
@click.option("--build", is_flag=True, help="Build the images first.")
@click.option("--push", is_flag=True, help="Build them and push them to the registry.")
@click.option("--check", is_flag=True, help="Check what was written, as a cluster would.")
@click.option("--force", is_flag=True, help="Overwrite what is not the export's own.")
@click.option("--renew-keys", is_flag=True, help="Make other certificates and keys for all pods.")
def command() -> None:
    """Write what is deployed here as files for a Kubernetes cluster.

    All applications, or those that are named, with their models. The daemon need not run.
    """
