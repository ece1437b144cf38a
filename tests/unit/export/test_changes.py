"""What two exports differ in: by object and by line."""

import base64

from k8s_adapter.render import to_yaml
from servd.export.changes import Change, Kind, object_changes, unified_diff


def text_of(name: str, value: int, kind: str = "Service") -> str:
    """Return an object's text."""
    return (
        f"apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: ml\n"
        f"spec:\n  value: {value}\n"
    )


def secret_of(value: str) -> str:
    """Return a Secret's text."""
    encoded = base64.b64encode(value.encode()).decode()
    return (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\n"
        f"type: Opaque\ndata:\n  a.key: {encoded}\n  same: c2FtZQ==\n"
    )


def test_objects_are_added_changed_and_removed():
    """Each object that differs is named once, with its kind and namespace."""
    old = {"a.yaml": text_of("a", 1), "b.yaml": text_of("b", 1), "c.yaml": text_of("c", 1)}
    new = {"a.yaml": text_of("a", 1), "b.yaml": text_of("b", 2), "d.yaml": text_of("d", 1)}
    assert object_changes(old, new) == [
        Change("Service b in ml", Kind.CHANGED),
        Change("Service c in ml", Kind.REMOVED),
        Change("Service d in ml", Kind.ADDED),
    ]
    assert object_changes(old, old) == []


def test_objects_of_one_file_are_told_apart():
    """In an export in one file, too, it is objects that change."""
    old = {"": text_of("a", 1) + "---\n" + text_of("b", 1)}
    new = {"": text_of("a", 1) + "---\n" + text_of("b", 2)}
    assert object_changes(old, new) == [Change("Service b in ml", Kind.CHANGED)]


def test_templates_and_other_files_change_as_files():
    """A chart's templates are no YAML; its values and notes are no objects."""
    old = {"templates/a.yaml": "{{ a }}", "values.yaml": "a: 1\n", "broken.yaml": "{{ b }}: ["}
    new = {"templates/a.yaml": "{{ b }}", "values.yaml": "a: 2\n", "broken.yaml": "{{ b }}: ["}
    assert [change.name for change in object_changes(old, new)] == [
        "templates/a.yaml",
        "values.yaml",
    ]


def test_lines_that_differ_are_shown():
    """The diff has the old and the new line, and /dev/null where there was or is no file."""
    old = {"a.yaml": text_of("a", 1), "gone.yaml": "x: 1\n"}
    lines = unified_diff(old, {"a.yaml": text_of("a", 2)}, "k8s")
    assert "--- k8s/a.yaml" in lines
    assert "-  value: 1" in lines
    assert "+  value: 2" in lines
    assert lines[lines.index("--- k8s/gone.yaml") + 1] == "+++ /dev/null"
    assert unified_diff(old, old, "k8s") == []


def test_secrets_are_not_shown():
    """That a key changed is seen, the key is not."""
    lines = "\n".join(
        unified_diff({"s.yaml": secret_of("old-key")}, {"s.yaml": secret_of("new-key")}, "k8s")
    )
    assert "-  a.key: (secret " in lines
    assert "+  a.key: (secret " in lines
    for hidden in ("old-key", "new-key", "same"):
        assert base64.b64encode(hidden.encode()).decode() not in lines


def test_variables_of_a_chart_are_not_shown():
    """However YAML writes them: on a line, in several, with lines that look like its own."""

    def values(**variables):
        return to_yaml({"app": {"name": "a"}, "variables": variables, "zone": 1})

    key = "-----BEGIN KEY-----\nabc-hidden\n---\n-----END KEY-----\n"
    old = values(TOKEN="old hidden one", KEY=key, SAME="hidden: same")
    new = values(TOKEN="new-hidden", KEY=key + "x", SAME="hidden: same")
    lines = "\n".join(unified_diff({"values.yaml": old}, {"values.yaml": new}, "chart"))
    assert "hidden" not in lines
    assert "BEGIN KEY" not in lines
    changed = [line for line in lines.splitlines() if line[:1] in "+-" and "secret" in line]
    assert [line.split(":")[0] for line in changed] == ["-  KEY", "+  KEY", "-  TOKEN", "+  TOKEN"]
    nested = to_yaml({"variables": {"iris-1": {"A": "hidden"}}, "workloads": {}})
    lines = "\n".join(unified_diff({}, {"values.yaml": nested}, "chart"))
    assert "workloads" in lines
    assert "hidden" not in lines


def test_secrets_in_one_file_are_not_shown():
    """The same holds where everything is in one file."""
    parts = [text_of("a", 1), secret_of("old-key"), text_of("b", 1)]
    changed = [text_of("a", 2), secret_of("new-key"), text_of("b", 2)]
    lines = "\n".join(
        unified_diff({"": "---\n".join(parts)}, {"": "---\n".join(changed)}, "all.yaml")
    )
    assert "+  value: 2" in lines
    assert base64.b64encode(b"new-key").decode() not in lines
