"""Deploys the saved service to a Clipper cluster of processes, and asks it."""

import json
import urllib.request

from servd.bento.clipper import deploy_bentoml
from servd.clipper import ClipperConnection, LocalContainerManager

cluster = ClipperConnection(LocalContainerManager())
cluster.connect()
cluster.register_application("bentoml-test", "floats", "default_pred", 100000)
saved = "bentoml/repository/IrisClassifier/first"
name, version = deploy_bentoml(cluster, saved, "predict_clipper")
print(name, version)
cluster.link_model_to_app("bentoml-test", name)
request = urllib.request.Request(
    f"http://{cluster.get_query_addr()}/bentoml-test/predict",
    json.dumps({"input": [6.5, 3.0, 5.8, 2.2]}).encode(),
    {"Content-type": "application/json"},
)
with urllib.request.urlopen(request) as reply:  # noqa: S310 - the address is the cluster's
    print("output", json.load(reply)["output"])
