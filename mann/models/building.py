"""From settings to models, their weights drawn with the settings' seed; the global random state is left alone."""

from dataclasses import replace
from functools import partial

from torch import nn

from data import InputError
from mann.models.baselines.delta_layers import DeltaLayer
from mann.models.baselines.maml import MAML
from mann.models.baselines.nearest import NearestNeighbour
from mann.models.baselines.prototypes import PrototypicalNetwork
from mann.models.baselines.recurrent import BASELINES
from mann.models.baselines.residual import ResidualStack
from mann.models.baselines.transformer import CausalAttention
from mann.models.classifier import Classifier, episode_labels
from mann.models.controllers import controller_kind
from mann.models.encoders import ENCODERS, ConvEncoder
from mann.models.initial_state import InitialState
from mann.models.network import MemoryNetwork
from mann.settings import (
    AnyConfig,
    AnyModel,
    Config,
    DeltaLayers,
    Maml,
    Memory,
    Nearest,
    Prototypes,
    Recurrent,
    Transformer,
)
from mann.support.seeds import drawn_with


def build_model(config: AnyConfig) -> nn.Module:
    """Return a new model: a `Classifier` or `MAML` for images, a network for an algorithmic task.

    Raises:
        InputError: MAML is asked for and learn2learn is not installed.
    """
    if isinstance(config.model, Maml):
        assert isinstance(config, Config)
        return build_maml(config)
    if isinstance(config, Config):
        return build_classifier(config)
    return build_network(config.model, config.seed, config.sizes.input_size, config.sizes.output_size)


def build_network(model: AnyModel, seed: int, input_size: int, output_size: int) -> nn.Module:
    """Return a new network, used like `torch.nn.LSTM`: [time, batch, input_size] -> [time, batch, output_size].

    >>> build_network(Memory(slots=8), seed=0, input_size=9, output_size=8).slots
    8
    """
    sizes = (input_size, output_size)
    with drawn_with(seed):
        match model:
            case Memory():
                return _memory_network(model, *sizes)
            case Recurrent():
                return BASELINES[model.controller](*sizes, model.hidden_size, model.layers)
            case Transformer():
                return ResidualStack(CausalAttention, *sizes, model.blocks, model.width, model.heads)
            case DeltaLayers():
                return ResidualStack(DeltaLayer, *sizes, model.blocks, model.width, model.heads)
            case Prototypes():
                return PrototypicalNetwork(*sizes)
            case Nearest():
                return NearestNeighbour(*sizes)
            case Maml():
                raise answers_no_sequences()


def _memory_network(model: Memory, input_size: int, output_size: int) -> MemoryNetwork:
    """Return a new memory network."""
    return MemoryNetwork(
        input_size,
        output_size,
        scheme=model.scheme,
        controller=controller_kind(model.controller, model.layers, model.initial_biases, model.activation),
        hidden_size=model.hidden_size,
        slots=model.slots,
        word_size=model.word_size,
        start=partial(InitialState, memory=model.initial_memory, heads=model.initial_heads),
        read_first=model.read_first,
        clip=model.clip_emitted,
    )


def build_classifier(config: Config) -> Classifier:
    """Return a new classifier of label-offset episodes.

    Raises:
        InputError: the model is MAML, which answers no sequences.
    """
    if isinstance(config.model, Maml):
        raise answers_no_sequences()
    labels = episode_labels(config)
    label_width = labels.characters * labels.symbols
    with drawn_with(config.seed):
        encoder = ENCODERS[config.encoder](config.size, config.encoder_width)
    network = build_network(config.model, config.seed, encoder.features + label_width, label_width)
    return Classifier(network, labels.symbols, config.image_scale, config.label_scale, encoder)


def answers_no_sequences() -> InputError:
    """Return the refusal of MAML where answers to sequences are needed."""
    return InputError("MAML answers no sequences: measure N-way K-shot accuracy, with `ways` and `shots`")


def build_nearest_pixels(config: Config) -> Classifier:
    """Return a classifier by the nearest earlier image of the sequence, compared by raw pixels; it has no weights."""
    return build_classifier(replace(config, model=Nearest(), encoder="none", memory="wiped"))


def build_maml(config: Config) -> MAML:
    """Return a new MAML model.

    Raises:
        InputError: learn2learn is not installed.
    """
    with drawn_with(config.seed):
        encoder = ENCODERS[config.encoder](config.size, config.encoder_width)
        assert isinstance(encoder, ConvEncoder)
        return MAML(encoder, episode_labels(config).symbols)
