"""Which packages an image gets."""

from servd.imaging import requirements
from servd.imaging.requirements import as_lines, constraints_of, normal, requirements_of

HERE = {
    "pyzmq": ("27.0", ()),
    "msgpack": ("1.1", ()),
    "scikit-learn": ("1.5.0", ("numpy", "joblib", "absent")),
    "joblib": ("1.4", ()),
    "numpy": ("2.0", ()),
}


def test_a_replica_gets_the_bundles_packages_and_the_runtimes():
    """Exact versions, in order, by one spelling of a name; the bundle's own word counts."""
    found = requirements_of("replica", {"Scikit_Learn": "1.4", "msgpack": "1.0"}, HERE.get)
    assert as_lines(found) == "msgpack==1.0\npyzmq==27.0\nscikit-learn==1.4\n"


def test_what_a_package_brings_along_is_constrained_to_what_works_here():
    """The lock is complete where the same version is installed here."""
    assert constraints_of({"scikit-learn": "1.5.0"}, HERE.get) == {"joblib": "1.4", "numpy": "2.0"}


def test_another_version_may_want_other_packages():
    """Constraints of this machine's version would contradict those of another one."""
    assert constraints_of({"scikit-learn": "0.24"}, HERE.get) == {}
    assert constraints_of({"unheard-of": "1"}, HERE.get) == {}


def test_servd_is_never_taken_from_an_index():
    """Its sources are copied into the image, whatever the bundle names."""
    assert "servd" not in requirements_of("replica", {"servd": "0.1"}, HERE.get)


def test_names_are_compared_as_indexes_do():
    """Case and separators do not tell packages apart."""
    assert normal("Ruamel.Yaml__x") == "ruamel-yaml-x"


def test_every_package_of_servd_is_installed_here():
    """The versions are taken from this environment, so none may be missing."""
    found = requirements_of("standalone", {})
    assert set(found) == set(requirements.SERVING)
    assert requirements.installed("no-such-package") is None
