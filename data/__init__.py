"""Images by class, and their split into training, validation and test classes.

Start with `load`: it returns all classes of a data set, and the split to use.

classes:   ImageClasses, the common type of all data sets
omniglot:  1623 handwritten characters, downloaded or read from a folder
strokes:   the built-in characters, drawn by a program
folder:    any folder with a folder of images for each class
splits:    committed lists of class names, and a split by name hash for other classes
datasets:  the data sets by name
cache:     packed images, so that the second start is fast
checking:  dataclasses that check their fields
parsing:   JSON from untrusted sources
errors:    InputError, for the mistakes of a user
"""

from data.checking import Checked
from data.classes import ImageClasses
from data.datasets import DATASETS, load
from data.errors import InputError
from data.folder import load_folder, read_images
from data.omniglot import load_omniglot
from data.parsing import parse_json
from data.splits import Split, hashed_split, read_split, split_names
from data.strokes import load_strokes

__all__ = [
    "DATASETS",
    "Checked",
    "ImageClasses",
    "InputError",
    "Split",
    "hashed_split",
    "load",
    "load_folder",
    "load_omniglot",
    "load_strokes",
    "parse_json",
    "read_images",
    "read_split",
    "split_names",
]
