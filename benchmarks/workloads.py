"""What is measured: W1 to W7, and G1 on a GPU. Used by every command of the benchmarks."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, its inputs and how servd is set up for it."""

    key: str
    title: str
    name: str
    """The model's and the application's name; the file's, where it is trained."""

    target: str
    """What `servd deploy` gets: a file of benchmarks/models, or one that was trained."""

    columns: int
    inputs: int
    """How many distinct bodies go round."""

    cache: str = "0"
    """servd's cache: off, since bodies go round and the baselines have none."""

    def target_path(self, work: Path) -> str:
        """Return the target with its folder: `work` for a trained model."""
        return str((work if self.is_trained else HERE / "models") / self.target)

    @property
    def is_trained(self) -> bool:
        """Whether the model is a pickle that scikit-learn made."""
        return self.target.endswith(".pkl")

    @property
    def is_table(self) -> bool:
        """Whether inputs are objects by named columns, of which the model takes a DataFrame."""
        return self.name == "credit"

    @property
    def is_file(self) -> bool:
        """Whether an input is a file, as it is."""
        return self.target == "picture.py:picture"

    @property
    def path(self) -> str:
        """The path that queries go to, on every server."""
        return f"/{self.name}/predict"

    def bodies(self, work: Path) -> Path:
        """Return the file of request bodies, one a line."""
        return work / f"{self.key}.bodies"

    def expected(self, work: Path) -> Path:
        """Return the file of right outputs, in the order of the bodies."""
        return work / f"{self.key}.expected"


WORKLOADS = {
    workload.key: workload
    for workload in (
        Workload("W1", "sum of 3", "feature_sum", "func.py:feature_sum", 3, 50_000),
        Workload("W2", "iris SVC", "iris", "iris.pkl", 4, 50_000),
        Workload("W3", "GradientBoosting, 24", "boosting", "boosting.pkl", 24, 20_000),
        Workload("W4", "no-op of 784", "noop", "noop.py:noop", 784, 4_000),
        Workload("W5", "linear SVM of 784", "linear_svm", "linear_svm.pkl", 784, 4_000),
        Workload("W6", "cached query", "feature_sum", "func.py:feature_sum", 3, 1, "32MiB"),
        Workload("W7", "rows of 8 named columns", "credit", "credit.pkl", 8, 20_000),
    )
}

PICTURE = Workload("W8", "picture of 150 kB", "picture", "picture.py:picture", 0, 1)
"""Apart from the others, as its body is no JSON: of files_mode.py."""

ON_GPU = Workload("G1", "residual network of 784", "residual", "residual.py:residual", 784, 2_000)
"""Apart from the others, as it needs a GPU: of gpu_mode.py."""
