"""Everything that a run depends on, with its defaults.

schema:       the settings, as typed data that checks itself: Config, TaskConfig and the models
presets:      whole settings by name: the defaults of every task, the papers', the demo's
options:      settings by the names of their options, for the command line, recipes and comparisons
registration: addressing schemes of one's own, from a class or a file
storage:      reading and writing config.json
format_one:   settings as mann 0.1.0 wrote them
"""

from mann.settings.options import MODELS, Options, by_option, changed, differences
from mann.settings.presets import preset, presets_of
from mann.settings.registration import is_reference, load_scheme, register_scheme
from mann.settings.schema import (
    AnyConfig,
    AnyModel,
    AnySequenceModel,
    Config,
    DeltaLayers,
    Maml,
    Memory,
    Nearest,
    Prototypes,
    Recurrent,
    Settings,
    TaskConfig,
    Transformer,
    default_scheme,
)
from mann.settings.storage import config_from_json, config_json, read_config

__all__ = [
    "MODELS",
    "AnyConfig",
    "AnyModel",
    "AnySequenceModel",
    "Config",
    "DeltaLayers",
    "Maml",
    "Memory",
    "Nearest",
    "Options",
    "Prototypes",
    "Recurrent",
    "Settings",
    "TaskConfig",
    "Transformer",
    "by_option",
    "changed",
    "config_from_json",
    "config_json",
    "default_scheme",
    "differences",
    "is_reference",
    "load_scheme",
    "preset",
    "presets_of",
    "read_config",
    "register_scheme",
]
