"""Where a script has what deploys to Clipper from."""

from __future__ import annotations

from model_runtime.bento.elsewhere import deploy_bentoml

__all__ = ["deploy_bentoml"]
