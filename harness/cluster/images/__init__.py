"""Images: three sources behind one interface.

Here belong the public names. `prepare` gives an `ImageSet` from any source: pulled, built here, or out of a bundle.
What a cluster does with the images does not belong in this package.
"""

from harness.cluster.images.bundle import create_bundle, load_bundle
from harness.cluster.images.cache import cache_folder
from harness.cluster.images.engine import DockerEngine, Engine
from harness.cluster.images.model import FLAVOUR_BUILT, FLAVOUR_K3S, ImageRef, ImageSet, ImageSource
from harness.cluster.images.prepare import prepare
from harness.cluster.images.pull import pin_images

__all__ = [
    "FLAVOUR_BUILT",
    "FLAVOUR_K3S",
    "DockerEngine",
    "Engine",
    "ImageRef",
    "ImageSet",
    "ImageSource",
    "cache_folder",
    "create_bundle",
    "load_bundle",
    "pin_images",
    "prepare",
]
