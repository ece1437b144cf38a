"""What a replica says that it is, held against what it has to be.

Asked by whoever connects to one: replica.py, follower.py and remote.py. Names and numbers of
versions begin again (after `servd rm`, with a new data directory), and addresses are given to
others, so neither tells which model answers; the digest of the files that it loaded does.
"""

from typing import Any

from servd.datatypes import ModelVersion


def misfit(version: ModelVersion, info: dict[str, Any]) -> str:
    """Return why a replica that is ready must not answer for a version, or nothing.

    `info` is the map of its STATE. What it leaves out is not held against it: images of others,
    and replicas of an older servd, need not know it.
    """
    said = (str(info.get("model", version.model)), str(info.get("version", version.version)))
    if said != version.id:
        return f"is a replica of {':'.join(said)}, not of {version.id}"
    input_type = info.get("input_type")
    if input_type not in (None, version.input_type):
        return f"takes {input_type}, but {version.id} is registered for {version.input_type}"
    return other_files(version, info)


def other_files(version: ModelVersion, info: dict[str, Any]) -> str:
    """Return that a replica has loaded other files than the version's, or nothing."""
    bundle = info.get("bundle")
    if version.bundle is None or bundle in (None, version.bundle):
        return ""
    return f"holds the bundle {bundle}, but {version.id} is registered with {version.bundle}"
