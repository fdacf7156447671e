"""Settings of a memory network in the format of mann 0.1.0."""

import json

from mann.settings import AnyConfig, config_json

LATER = ("jitter_scale", "jitter_shear", "masking", "deallocation", "sharpness")
"""Options of the settings and of schemes that mann 0.1.0 did not have, all of them off by default."""


def as_format_one(config: AnyConfig) -> str:
    """Return the config.json that mann 0.1.0 would have written."""
    content = json.loads(config_json(config))
    del content["format"]
    model = content.pop("model")
    assert model.pop("kind") == "memory"
    for options in (content, model["scheme"]):
        for name in LATER:
            assert not options.pop(name, False)
    model["addressing"] = model["scheme"].pop("name")
    if "sizes" in content:
        content["task"] = content["sizes"].pop("name")
    return json.dumps({**model, **content})
