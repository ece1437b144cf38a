"""What images get beyond their bundle, on a real engine: files, an index with a password."""

import base64
import http.server
import io
import ipaddress
import json
import threading
import zipfile

import pytest

from model_runtime.manifest import Manifest, write
from servd.errors import ImageError
from servd.imaging.additions import Additions
from servd.imaging.builder import Builder
from tests.docker.heard import Heard
from tests.image_specs import spec_of, version_in

pytestmark = [pytest.mark.docker, pytest.mark.slow]

USER, PASSWORD = "reader", "pass-word-77"
NAME = "servd-test-private"


def wheel_of(name, version):
    """Return the bytes of a wheel with one module."""
    content, info = io.BytesIO(), f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    module = f"{name.replace('-', '_')}.py"
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(module, "FACTOR = 7\n")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", f"{module},,\n{info}/METADATA,,\n{info}/WHEEL,,\n")
    return content.getvalue()


@pytest.fixture
def index(engine):
    """Yield the address of a package index that wants a password, as containers see it.

    It holds one package in a local version, which no other index has.
    """
    file = f"{NAME.replace('-', '_')}-1.0+ours-py3-none-any.whl"
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            page = f'<a href="/{file.replace("+", "%2B")}">{file}</a>'.encode()
            found = {
                f"/simple/{NAME}/": page,
                f"/{file.replace('+', '%2B')}": wheel_of(NAME, "1.0+ours"),
            }
            body = found.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html" if body == page else "application/zip")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            """Say nothing."""

    bridge = engine.networks.get("bridge")
    bridge.reload()
    gateway = str(ipaddress.ip_network(bridge.attrs["IPAM"]["Config"][0]["Subnet"])[1])
    server = http.server.ThreadingHTTPServer((gateway, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"{gateway}:{server.server_address[1]}/simple"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bundle(tmp_path):
    """Return a bundle whose model needs a package that no public index has."""
    folder = tmp_path / "bundle"
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "f.py").write_text(
        "from servd_test_private import FACTOR\ndef f(xs):\n    return [FACTOR for _ in xs]\n"
    )
    packages = {NAME: "1.0+ours"}
    manifest = Manifest(
        loader="python", file="f.py", kind="function", object="f", python="3.11.7",
        example=[1.0], packages=packages,
    )  # fmt: skip
    write(manifest, folder)
    return folder


@pytest.fixture
def build(engine, base_image, bundle):
    """Return a function that builds an image with additions; it is removed afterwards."""
    tags = []

    def run(**additions):
        added = Additions(**additions)
        tag = f"servd-test-additions:{len(tags)}"
        changes = {"version": version_in(bundle), "base_image": base_image, "additions": added}
        spec = spec_of("replica", bundle, tag=tag, **changes)
        heard = Heard()
        Builder(engine).build(spec, heard)
        tags.append(tag)
        return tag

    yield run
    for tag in tags:
        engine.images.remove(tag, force=True)


def test_an_index_with_a_password_is_asked_and_the_image_does_not_have_it(engine, build, index):
    """Neither a layer nor the history nor the settings of the image hold it."""
    tag = build(extra_index=(f"http://{USER}:{PASSWORD}@{index}",))
    image = engine.images.get(tag)
    texts = json.dumps([image.history(), image.attrs])
    assert PASSWORD not in texts
    # A file that was copied in and taken away again would still be in a layer.
    assert "pip.conf" not in texts
    assert "requirements.txt" in texts


def test_a_wrong_password_fails_without_being_shown(build, index):
    """The message is pip's; the address in it has no password."""
    with pytest.raises(ImageError, match="the build failed") as caught:
        build(extra_index=(f"http://{USER}:wrong-word-88@{index}",))
    assert (
        "wrong-word-88" not in f"{caught.value.message}{caught.value.hint}{caught.value.traceback}"
    )


def test_a_wheel_is_installed_as_it_is(build, tmp_path):
    """No index is asked for it."""
    wheel = tmp_path / f"{NAME.replace('-', '_')}-2.0-py3-none-any.whl"
    wheel.write_bytes(wheel_of(NAME, "2.0"))
    build(wheel=(wheel,))
