"""Images by class, and which classes are for training, validation and testing.

`load` is the way in: it returns all classes of a data set, and the split to use.

classes:   ImageClasses, the one type that every data set is turned into
omniglot:  1623 handwritten characters, downloaded or given by hand
strokes:   the built-in characters, drawn by a program
folder:    a folder of one's own
splits:    committed lists of class names; a split by name hash for other classes
datasets:  the data sets by name
cache:     packed images, so that the second start is quick
parsing:   JSON that anybody may have written
errors:    InputError, for what a user got wrong
"""

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
