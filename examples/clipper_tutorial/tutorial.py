"""Clipper's tutorial in Python: start, register, deploy, link. What answers stays when it ends."""

from func import feature_sum

from servd.clipper import ClipperConnection, LocalContainerManager
from servd.clipper.deployers.python import deploy_python_closure

cluster = ClipperConnection(LocalContainerManager())
cluster.start_clipper()
cluster.register_application("hello-world", "doubles", default_output="-1.0", slo_micros=100_000)
print("applications:", cluster.get_all_apps())

deploy_python_closure(cluster, "sum-model", version=1, input_type="doubles", func=feature_sum)
cluster.link_model_to_app("hello-world", "sum-model")
print("models:", cluster.get_all_models())
print(f"ask http://{cluster.get_query_addr()}/hello-world/predict")
