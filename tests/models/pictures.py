"""A function of pictures."""

from PIL import Image


def measure(picture: Image.Image) -> dict[str, int]:
    """Return the size of a picture."""
    return {"width": picture.width, "height": picture.height}
