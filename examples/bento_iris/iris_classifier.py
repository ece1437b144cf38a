"""A service of BentoML: one model, and two APIs that answer with it."""

from servd.bento import BentoService, api, artifacts, env
from servd.bento.adapters import ClipperFloatsInput, DataframeInput
from servd.bento.frameworks.sklearn import SklearnModelArtifact


@env(pip_packages=["scikit-learn"])
@artifacts([SklearnModelArtifact("model")])
class IrisClassifier(BentoService):
    """Tells irises apart by the lengths and widths of their leaves."""

    @api(input=DataframeInput(), batch=True)
    def predict(self, df):
        """Return the class of each row of a table."""
        return self.artifacts.model.predict(df.to_numpy())

    @api(input=ClipperFloatsInput(), batch=True)
    def predict_clipper(self, inputs):
        """Return the class of each list of four numbers."""
        return self.artifacts.model.predict(inputs)
