"""The signatures of servd.clipper are those of clipper_admin 0.4.1: names, order, defaults."""

import importlib
import importlib.metadata
import inspect
from pathlib import Path

import pytest

import servd.clipper
from servd.cli import clipper_shim
from servd.clipper.container_manager import ContainerManager
from servd.clipper.docker.docker_container_manager import DockerContainerManager
from servd.clipper.kubernetes.kubernetes_container_manager import KubernetesContainerManager
from servd.clipper.local_container_manager import LocalContainerManager

TAIL = "labels=None registry=None base_image={} num_replicas=1{} batch_size=-1 pkgs_to_install=None"
ENDPOINT = "default_output='None' version=1 slo_micros=3000000 "
DEPLOYERS = {
    ("python", "deploy_python_closure"): "func",
    ("pytorch", "deploy_pytorch_model"): "func pytorch_model",
    ("tensorflow", "deploy_tensorflow_model"): "func tf_sess_or_saved_model_path",
    ("keras", "deploy_keras_model"): "func model_path_or_object",
    ("pyspark", "deploy_pyspark_model"): "func pyspark_model sc",
    ("mxnet", "deploy_mxnet_model"): "func mxnet_model mxnet_data_shapes",
    ("xgboost", "deploy_xgboost_model"): "func xgboost_model",
}
CONNECTION = {
    "__init__": "container_manager",
    "start_clipper": "query_frontend_image='clipper/query_frontend:0.4.1' "
    "mgmt_frontend_image='clipper/management_frontend:0.4.1' "
    "frontend_exporter_image='clipper/frontend-exporter:0.4.1' cache_size=33554432 "
    "qf_http_thread_pool_size=1 qf_http_timeout_request=5 qf_http_timeout_content=300 "
    "num_frontend_replicas=1",
    "connect": "",
    "register_application": "name input_type default_output slo_micros",
    "unregister_application": "name",
    "delete_application": "name",
    "link_model_to_app": "app_name model_name",
    "unlink_model_from_app": "app_name model_name",
    "build_and_deploy_model": "name version input_type model_data_path base_image labels=None "
    "container_registry=None num_replicas=1 batch_size=-1 pkgs_to_install=None",
    "build_model": "name version model_data_path base_image container_registry=None "
    "pkgs_to_install=None",
    "deploy_model": "name version input_type image labels=None num_replicas=1 batch_size=-1",
    "register_model": "name version input_type image=None labels=None batch_size=-1",
    "get_current_model_version": "name",
    "get_num_replicas": "name version=None",
    "set_num_replicas": "name num_replicas version=None",
    "get_all_apps": "verbose=False",
    "get_all_models": "verbose=False",
    "get_all_model_replicas": "verbose=False",
    "get_app_info": "name",
    "get_model_info": "name version",
    "get_model_replica_info": "name version replica_id",
    "get_linked_models": "app_name",
    "set_model_version": "name version num_replicas=None",
    "get_clipper_logs": "logging_dir='clipper_logs/'",
    "inspect_instance": "",
    "get_query_addr": "",
    "get_metric_addr": "",
    "stop_models": "model_names",
    "stop_versioned_models": "model_versions_dict",
    "stop_inactive_model_versions": "model_names",
    "stop_all_model_containers": "",
    "stop_all": "graceful=True",
    "test_predict_function": "query func input_type",
}


def shown(call):
    """Return a call's parameters as words, self aside."""
    parameters = inspect.signature(call).parameters.values()
    return " ".join(
        each.name if each.default is each.empty else f"{each.name}={each.default!r}"
        for each in parameters
        if each.name != "self" and each.kind is not each.KEYWORD_ONLY
    )


@pytest.mark.parametrize("name", CONNECTION)
def test_of_the_connection(name):
    """Every method of ClipperConnection."""
    assert shown(getattr(servd.clipper.ClipperConnection, name)) == CONNECTION[name]


@pytest.mark.parametrize(("module", "name"), DEPLOYERS)
def test_of_the_deployers(module, name):
    """Each deploys by its function, and all have create_endpoint."""
    deployer = importlib.import_module(f"servd.clipper.deployers.{module}")
    what = DEPLOYERS[module, name]
    tail = (
        "base_image='default' labels=None registry=None num_replicas=1 batch_size=-1 "
        "pkgs_to_install=None"
    )
    assert shown(getattr(deployer, name)) == (f"clipper_conn name version input_type {what} {tail}")
    assert shown(deployer.create_endpoint) == (
        f"clipper_conn name input_type {what} {ENDPOINT}{TAIL.format(repr('default'), '')}"
    )


def test_of_the_onnx_deployer():
    """It takes what the model is traced with, and a backend."""
    onnx = importlib.import_module("servd.clipper.deployers.onnx")
    assert shown(onnx.create_pytorch_endpoint) == (
        "clipper_conn name input_type inputs func pytorch_model "
        f"{ENDPOINT}{TAIL.format(None, chr(32) + 'onnx_backend=' + repr('caffe2'))}"
    )
    assert shown(onnx.deploy_pytorch_model) == (
        "clipper_conn name version input_type inputs func pytorch_model base_image=None "
        "labels=None registry=None num_replicas=1 onnx_backend='caffe2' batch_size=-1 "
        "pkgs_to_install=None"
    )


def test_of_the_managers():
    """Their constructors, and what an own manager has to offer."""
    assert shown(DockerContainerManager) == (
        "cluster_name='default-cluster' docker_ip_address='localhost' use_centralized_log=False "
        "fluentd_port=24224 clipper_query_port=1337 clipper_management_port=1338 "
        "clipper_rpc_port=7000 redis_ip=None redis_port=6379 prometheus_port=9090 "
        "docker_network='clipper_network' extra_container_kwargs=None"
    )
    assert shown(KubernetesContainerManager) == (
        "cluster_name='default-cluster' kubernetes_proxy_addr=None redis_ip=None redis_port=6379 "
        "useInternalIP=False namespace='default' service_types=None "
        "create_namespace_if_not_exists=False"
    )
    assert shown(LocalContainerManager) == "cluster_name='default-cluster'"
    assert ContainerManager.__abstractmethods__ == {
        *("start_clipper", "connect", "deploy_model", "get_num_replicas", "set_num_replicas"),
        *("get_logs", "stop_models", "stop_all_model_containers", "stop_all"),
        *("get_admin_addr", "get_query_addr", "get_metric_addr"),
    }


def test_they_are_those_of_clipper_admin_itself():
    """Where clipper_admin is installed, the words above are what it has, too."""
    known = pytest.importorskip("clipper_admin", reason="needs clipper_admin 0.4.1")
    if "servd" in (importlib.metadata.metadata("clipper_admin")["Summary"] or ""):
        pytest.skip("that is servd's own")
    for name, words in CONNECTION.items():
        assert shown(getattr(known.ClipperConnection, name)) == words
    python = importlib.import_module("clipper_admin.deployers.python")
    mine = importlib.import_module("servd.clipper.deployers.python")
    for name in ("create_endpoint", "deploy_python_closure"):
        assert shown(getattr(python, name)) == shown(getattr(mine, name))
    assert shown(known.DockerContainerManager) == shown(DockerContainerManager)
    assert shown(known.KubernetesContainerManager) == shown(KubernetesContainerManager)


def test_the_shim_leads_to_every_module():
    """Each module of the interface has a name in the shim, and it is its version."""
    folder = Path(servd.clipper.__file__).parent
    deployers = {path.stem for path in (folder / "deployers").glob("*.py")} - {"__init__"}
    assert {name for name in clipper_shim.MODULES if name.startswith("deployers.")} == {
        f"deployers.{name}" for name in deployers
    }
    for name in clipper_shim.MODULES:
        importlib.import_module(f"servd.clipper.{name}")
    assert servd.clipper.__version__ == clipper_shim.VERSION
