"""An application and a version for a registry. Used by the tests of what is registered."""

from servd.datatypes import Application, InputType, ModelVersion


def app(name="a", input_type=InputType.DOUBLES, slo_us=100_000):
    """Return an application."""
    return Application(name=name, input_type=input_type, slo_us=slo_us, default_output="-1.0")


def version(number="1", model="m", input_type=InputType.DOUBLES, **more):
    """Return a version."""
    return ModelVersion(model=model, version=number, input_type=input_type, **more)
