"""Label-offset episodes: the images presented, their labels, and the step at which each label becomes an input."""

import itertools
from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from data import ImageClasses, InputError, read_split
from episodes import ClassificationEpisodes, Episode, Jitter, OneHot, Strings
from episodes.label_offset import presentation_numbers

Counting = Literal["exact", "random"]
COUNTING: list[Counting] = ["exact", "random"]


def numbered(counts: list[int]) -> ImageClasses:
    """Return classes of images that encode their class + 1 in the first pixel and their sample + 1 in the second."""
    images = torch.zeros(len(counts), max(counts), 2, 3, dtype=torch.uint8)
    for index, count in enumerate(counts):
        images[index, :count, 0, 0] = index + 1
        images[index, :count, 0, 1] = torch.arange(1, count + 1, dtype=torch.uint8)
    return ImageClasses(images, torch.tensor(counts), tuple(f"class{index}" for index in range(len(counts))))


def presented(episode: Episode) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Read class and sample, [time, batch] each, from the pixels; -1 is padding."""
    pixels = (episode.images * 255).round().long().numpy() - 1
    return pixels[..., 0, 0], pixels[..., 0, 1]


def same(one: Episode, other: Episode) -> bool:
    """Whether two episodes agree in every number."""
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


SOURCE = ClassificationEpisodes(numbered([6] * 8), OneHot(4), classes=4, presentations=3, batch=5, seed=3)
SOURCES = [
    SOURCE,
    replace(SOURCE, counting="random"),
    replace(SOURCE, labels=Strings(3, 2)),
    replace(SOURCE, images=numbered([3, 6, 4, 9, 5]), counting="random"),
    replace(SOURCE, images=numbered([3, 6, 4, 9, 5])),
    replace(SOURCE, jitter=Jitter()),
]
PLAIN_SOURCES = [source for source in SOURCES if source.jitter is None]


def test_classes_of_one_alphabet_are_drawn_together_and_each_alphabet_is_as_likely() -> None:
    # By the names of the real test characters, shuffled: in 39 of 50 alphabets there are five of them and more.
    names = sorted(read_split("omniglot-1200-423").test, key=lambda name: name[::-1])
    pixels, counts = torch.zeros(len(names), 2, 2, 3, dtype=torch.uint8), torch.full((len(names),), 2)
    images = ImageClasses(pixels, counts, tuple(names))
    source = replace(SOURCE, images=images, labels=OneHot(5), classes=5, presentations=2, batch=1300, alphabets="one")
    episode = source(0)
    drawn, characters = Counter[str](), Counter[str]()
    for column in episode.classes.T:
        found = {names[int(number)] for number in column}
        (alphabet,) = {name.split("/")[0] for name in found}
        assert len(found) == 5
        drawn[alphabet] += 1
        characters.update(found)
    sizes = Counter(name.split("/")[0] for name in names)
    assert set(drawn) == {alphabet for alphabet, size in sizes.items() if size >= 5}
    assert chisquare(list(drawn.values())).pvalue > 1e-4
    assert set(characters) == {name for name in names if sizes[name.split("/")[0]] >= 5}
    assert not same(source(1), episode) and same(replace(source)(0), episode)


@pytest.mark.parametrize("counting", COUNTING)
def test_a_sequence_can_end_before_all_images_were_presented(counting: Counting) -> None:
    whole = replace(SOURCE, images=numbered([5] * 4), counting=counting, batch=200)
    cut = replace(whole, length=7)
    episode = cut(0)
    assert len(episode.images) == len(episode.targets) == 7
    times = Counter(number for column in episode.classes.T for number in Counter(column.tolist()).values())
    # In any order: some classes are presented as often as they can be, some once.
    assert set(times) == ({1, 2, 3} if counting == "exact" else {1, 2, 3, 4, 5})
    drawn = Counter(tuple(map(int, pair)) for pair in zip(*(part[:, 0] for part in presented(episode)), strict=True))
    assert set(drawn.values()) == {1}
    assert same(replace(whole, length=12)(3), whole(3))
    with pytest.raises(
        InputError, match="13 steps asked for in an episode, but 4 classes with 3 .* 12: lower `length`"
    ):
        replace(whole, length=13)


def test_what_no_alphabet_can_fill_is_refused() -> None:
    names = ("A/1", "A/2", "A/3", "B/1", "B/2", "C/1")
    source = replace(SOURCE, images=replace(numbered([6] * 6), names=names), classes=3, alphabets="one")
    assert {names[int(number)][0] for number in source(0).classes.flatten()} == {"A"}
    with pytest.raises(InputError, match="4 classes of one alphabet asked for in an episode, but none has more than 3"):
        replace(source, classes=4)
    with pytest.raises(InputError, match="class 'class0' is of no alphabet"):
        replace(SOURCE, alphabets="one")


@pytest.mark.parametrize("source", SOURCES)
def test_an_episode_is_a_pure_function_of_seed_and_step(source: ClassificationEpisodes) -> None:
    first = source(7)
    torch.manual_seed(5)
    torch.rand(3)
    source(2)
    assert same(source(7), first)
    assert same(replace(source)(7), first)
    assert not same(source(8), first)
    assert not same(replace(source, seed=4)(7), first)


def test_drawing_an_episode_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    replace(SOURCE, jitter=Jitter())(0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("source", PLAIN_SOURCES)
def test_images_are_of_the_classes_that_the_episode_states_and_none_is_presented_twice(
    source: ClassificationEpisodes,
) -> None:
    counts = source.images.counts.numpy()
    for step in range(20):
        episode = source(step)
        classes, samples = presented(episode)
        assert numpy.array_equal(classes, episode.classes.numpy())
        assert (samples >= 0).all() and (samples < counts[classes]).all()
        for sequence in range(source.batch):
            images = set(zip(classes[:, sequence], samples[:, sequence], strict=True))
            assert len(images) == source.time


@pytest.mark.parametrize("source", SOURCES)
def test_one_class_has_one_label_and_two_classes_have_two(source: ClassificationEpisodes) -> None:
    for step in range(20):
        episode = source(step)
        for sequence in range(source.batch):
            pairs = {
                (int(index), tuple(label.tolist()))
                for index, label in zip(episode.classes[:, sequence], episode.targets[:, sequence], strict=True)
            }
            assert len(pairs) == len({index for index, _ in pairs}) == len({label for _, label in pairs})


@pytest.mark.parametrize("source", SOURCES)
def test_the_label_in_the_input_is_the_preceding_one_and_none_at_first(source: ClassificationEpisodes) -> None:
    episode = source(0)
    characters, symbols = source.labels.characters, source.labels.symbols
    previous = episode.previous.unflatten(-1, (characters, symbols))
    assert not previous[0].any()
    for step, sequence in itertools.product(range(1, source.time), range(source.batch)):
        for character in range(characters):
            expected = [0.0] * symbols
            expected[int(episode.targets[step - 1, sequence, character])] = 1.0
            assert previous[step, sequence, character].tolist() == expected


def counted(classes: Tensor) -> list[list[int]]:
    """Count presentations with a slow loop, [time][batch]."""
    seen: Counter[tuple[int, int]] = Counter()
    numbers = []
    for row in classes.tolist():
        seen.update(enumerate(row))
        numbers.append([seen[entry] for entry in enumerate(row)])
    return numbers


@pytest.mark.parametrize("source", SOURCES)
def test_presentations_of_an_episode_are_numbered_from_one(source: ClassificationEpisodes) -> None:
    for step in range(5):
        episode = source(step)
        assert episode.presentation.tolist() == counted(episode.classes)


@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=12))
def test_presentation_numbers_are_those_of_a_slow_count(rows: list[list[int]]) -> None:
    which = torch.tensor(rows)
    assert presentation_numbers(which, 5).tolist() == counted(which)


@pytest.mark.parametrize("images", [numbered([6] * 8), numbered([3, 9, 4, 5])])
def test_exact_counting_presents_every_class_equally_often(images: ImageClasses) -> None:
    source = replace(SOURCE, images=images)
    for step in range(20):
        for sequence in source(step).classes.T.tolist():
            assert sorted(Counter(sequence).values()) == [3, 3, 3, 3]


def test_random_counting_draws_from_all_images_without_replacement() -> None:
    # 6 of the 12 images of 3 classes: a class's count is hypergeometric, with mean 2 and variance 6/11 * 4/3.
    source = ClassificationEpisodes(
        numbered([4] * 3), OneHot(3), classes=3, presentations=2, counting="random", batch=4000
    )
    classes = source(0).classes
    counts = numpy.array([numpy.bincount(sequence, minlength=3) for sequence in classes.T.numpy()])
    assert counts.sum(1).tolist() == [6] * 4000
    variance = 6 * (1 / 3) * (2 / 3) * (12 - 6) / (12 - 1)
    assert numpy.abs(counts.mean(0) - 2).max() < 4 * (variance / 4000) ** 0.5
    assert counts.var(0) == pytest.approx([variance] * 3, rel=0.1)
    assert counts.max() == 4 and counts.min() == 0


def test_random_counting_presents_a_larger_class_more_often() -> None:
    source = ClassificationEpisodes(
        numbered([9, 3]), OneHot(2), classes=2, presentations=2, counting="random", batch=4000
    )
    share = (source(0).classes == 0).float().mean(0)
    # The standard error of the mean share is sqrt(0.75 * 0.25 / 4 * 8 / 11 / 4000).
    assert abs(share.mean().item() - 0.75) < 4 * (0.75 * 0.25 / 4 * 8 / 11 / 4000) ** 0.5


@pytest.mark.parametrize("counting", COUNTING)
def test_every_sequence_of_a_batch_draws_classes_of_its_own_without_replacement(counting: Counting) -> None:
    source = replace(SOURCE, images=numbered([3] * 20), counting=counting, batch=64)
    sets = [frozenset(sequence) for sequence in source(0).classes.T.tolist()]
    assert len(set(sets)) > 55
    if counting == "exact":
        assert {len(chosen) for chosen in sets} == {4}
    else:
        assert max(len(chosen) for chosen in sets) == 4


@pytest.mark.parametrize("counting", COUNTING)
def test_every_set_of_classes_is_about_equally_likely(counting: Counting) -> None:
    # Every image is presented, so that random counting presents all classes too.
    source = ClassificationEpisodes(
        numbered([2] * 5), OneHot(3), classes=3, presentations=2, counting=counting, batch=6000
    )
    sets = Counter(frozenset(sequence) for sequence in source(0).classes.T.tolist())
    assert len(sets) == 10
    assert chisquare(list(sets.values())).pvalue > 1e-3


@pytest.mark.parametrize("counting", COUNTING)
def test_labels_are_independent_of_the_classes_and_of_their_order(counting: Counting) -> None:
    # All 3 classes are in each episode: which label each of them has is one of 6 permutations.
    source = ClassificationEpisodes(
        numbered([2] * 3), OneHot(3), classes=3, presentations=2, counting=counting, batch=6000
    )
    episode = source(0)
    by_class: Counter[tuple[int, ...]] = Counter()
    by_appearance: Counter[tuple[int, ...]] = Counter()
    by_both: Counter[tuple[int, int]] = Counter()
    for classes, targets in zip(episode.classes.T.tolist(), episode.targets[..., 0].T.tolist(), strict=True):
        label = dict(zip(classes, targets, strict=True))
        by_class[tuple(label[index] for index in range(3))] += 1
        by_appearance[tuple(dict.fromkeys(targets))] += 1
        by_both[classes[0], targets[0]] += 1
    for counts, kinds in ((by_class, 6), (by_appearance, 6), (by_both, 9)):
        assert len(counts) == kinds
        assert chisquare(list(counts.values())).pvalue > 1e-3


def test_every_order_of_the_images_is_about_equally_likely() -> None:
    # 2 classes, 2 images of each: 24 orders.
    source = ClassificationEpisodes(numbered([2, 2]), OneHot(2), classes=2, presentations=2, batch=12_000)
    classes, samples = presented(source(0))
    orders = Counter(map(tuple, (classes * 2 + samples).T.tolist()))
    assert len(orders) == 24
    assert chisquare(list(orders.values())).pvalue > 1e-3


def test_every_image_of_a_class_is_about_equally_likely_with_unequal_counts() -> None:
    source = ClassificationEpisodes(numbered([3, 5]), OneHot(2), classes=2, presentations=1, batch=6000)
    classes, samples = presented(source(0))
    for index, count in ((0, 3), (1, 5)):
        drawn = numpy.bincount(samples[classes == index])
        assert len(drawn) == count
        assert chisquare(drawn).pvalue > 1e-3


def test_pixels_are_shares_of_full_ink() -> None:
    images = torch.tensor([0, 51, 102, 255], dtype=torch.uint8).view(1, 1, 2, 2)
    source = ClassificationEpisodes(
        ImageClasses(images, torch.tensor([1]), ("only",)), OneHot(1), classes=1, presentations=1, batch=1
    )
    episode = source(0)
    assert episode.images.dtype == torch.float32
    numpy.testing.assert_allclose(episode.images[0, 0].numpy(), [[0, 0.2], [0.4, 1]], rtol=1e-6)


def test_jitter_changes_the_images_and_nothing_else() -> None:
    plain = SOURCE(3)
    jittered = replace(SOURCE, jitter=Jitter())(3)
    assert same(plain._replace(images=jittered.images), jittered)
    assert not torch.equal(plain.images, jittered.images)
    still = replace(SOURCE, jitter=Jitter(0, 0))(3)
    numpy.testing.assert_allclose(still.images.numpy(), plain.images.numpy(), atol=1e-6)


def test_jitter_transforms_each_image_by_amounts_of_its_own() -> None:
    images = torch.zeros(1, 4, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = 255
    source = ClassificationEpisodes(
        ImageClasses(images, torch.tensor([4]), ("dot",)), OneHot(1), 1, 4, batch=3, jitter=Jitter(0, 0.2)
    )
    drawn = source(0).images.flatten(0, 1).flatten(1)
    assert len(torch.unique(drawn, dim=0)) == 12


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_all_sizes_from_one_up_give_whole_episodes(data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    classes = data.draw(st.integers(1, len(counts)))
    presentations = data.draw(st.integers(1, min(counts)))
    labels = data.draw(st.sampled_from([OneHot(classes), OneHot(classes + 2), Strings(), Strings(2, 3)]))
    source = ClassificationEpisodes(
        numbered(counts),
        labels,
        classes,
        presentations,
        counting=data.draw(st.sampled_from(COUNTING)),
        batch=data.draw(st.integers(1, 3)),
        seed=data.draw(st.integers(0, 2**70)),
    )
    episode = source(data.draw(st.integers(0, 10**6)))
    time, batch = classes * presentations, source.batch
    assert episode.images.shape == (time, batch, 2, 3)
    assert episode.previous.shape == (time, batch, labels.characters * labels.symbols)
    assert episode.targets.shape == (time, batch, labels.characters)
    read, samples = presented(episode)
    assert numpy.array_equal(read, episode.classes.numpy()) and (samples >= 0).all()
    assert episode.presentation.tolist() == counted(episode.classes)
    assert episode.previous.sum(-1).tolist() == [[0] * batch] + [[labels.characters] * batch] * (time - 1)
    images = list(zip(read.T.tolist(), samples.T.tolist(), strict=True))
    assert all(len(set(zip(*pair, strict=True))) == time for pair in images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 9}, "9 classes asked for.*only 8 to draw from: lower `classes`"),
        ({"classes": 5}, "5 classes cannot be told apart by 4 labels"),
        ({"classes": 5, "labels": Strings(2, 2)}, "5 classes cannot be told apart by 4 labels"),
        ({"presentations": 7}, "7 presentations.*'class0' has 6"),
        (
            {"presentations": 4, "images": numbered([5, 9, 3, 5])},
            "4 presentations.*'class2' has 3 images: lower `presentations` to 3",
        ),
        ({"presentations": 7, "counting": "random"}, "7 presentations.*has 6"),
    ],
)
def test_episodes_that_cannot_be_drawn_are_refused_with_the_numbers(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SOURCE, **changes)


def test_all_images_and_labels_can_be_used() -> None:
    source = ClassificationEpisodes(numbered([3, 3]), Strings(2, 1), classes=2, presentations=3, batch=2)
    classes, samples = presented(source(0))
    for sequence in range(2):
        assert len(set(zip(classes[:, sequence], samples[:, sequence], strict=True))) == 6
