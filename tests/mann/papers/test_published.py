"""The paper's figures: spot checks against the tables, and how a row is found."""

from mann.papers.published import published_few_shot, published_persistent, published_row, published_rows


def test_mann_with_one_hot_labels() -> None:
    row = published_row("MANN", 5, "one-hot")
    assert row is not None
    assert row.accuracies == {1: 0.364, 2: 0.828, 3: 0.91, 4: 0.926, 5: 0.949, 10: 0.981}


def test_mann_with_strings_is_the_one_with_the_lstm_controller() -> None:
    for classes, second in ((5, 0.695), (15, 0.626)):
        row = published_row("MANN", classes, "strings")
        assert row is not None
        assert (row.controller, row.accuracies[2]) == ("LSTM", second)


def test_tables_are_complete() -> None:
    sizes = {
        (classes, labels): len(published_rows(classes, labels))
        for classes in (5, 15)
        for labels in ("one-hot", "strings")
    }
    assert sizes == {(5, "one-hot"): 4, (5, "strings"): 6, (15, "one-hot"): 0, (15, "strings"): 7}


def test_nothing_is_made_up_where_the_paper_reports_nothing() -> None:
    assert published_rows(15, "one-hot") == []
    assert published_row("MANN", 15, "one-hot") is None
    assert published_row("human", 5, "strings") is None


def test_few_shot_figures_are_those_of_the_ways_asked_for() -> None:
    for ways, expected in ((5, {1: 0.988, 5: 0.997}), (20, {1: 0.96, 5: 0.989})):
        (row,) = [row for row in published_few_shot(ways) if row.model == "prototypical networks"]
        assert row.accuracies == expected
    assert published_few_shot(10) == []


def test_memories_that_are_not_wiped_are_reported_for_5_and_10_classes() -> None:
    assert [row.accuracies for row in published_persistent(10)] == [{2: 0.513, 3: 0.592, 5: 0.633}]
    assert [row.accuracies[2] for row in published_persistent(5)] == [0.662]
    assert published_persistent(15) == []
