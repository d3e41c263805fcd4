"""From folders to paths."""

from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.paths import check_path
from lineshaft.rooms.connect.naming import paths_of


def test_the_whole_plant_is_left_out_and_machines_stay() -> None:
    trails = [("TEP", "reactor", "pressure"), ("TEP", "feed", "a", "flow"), ("TEP", "cost")]
    assert paths_of(trails, "My server") == ["reactor/pressure", "feed/a/flow", "my-server/cost"]


def test_two_plants_are_kept_apart() -> None:
    trails = [("North", "Mill", "Speed"), ("South", "Mill", "Speed"), ("Alone",)]
    assert paths_of(trails, "S") == ["north/mill/speed", "south/mill/speed", "s/alone"]


def test_a_machine_below_objects_stays() -> None:
    assert paths_of([("Press 1", "Force"), ("Press 1", "State")], "S") == [
        "press-1/force", "press-1/state",
    ]  # fmt: skip


def test_equal_names_get_numbers_in_order() -> None:
    trails = [("M", "a b"), ("M", "A-B"), ("M", "a-b-2"), ("M", "a_b"), ("M", "a.b")]
    assert paths_of(trails, "S") == ["m/a-b", "m/a-b-2", "m/a-b-2-2", "m/a_b", "m/a-b-3"]


@given(
    st.lists(
        st.lists(st.text(max_size=90), min_size=1, max_size=14).map(tuple), min_size=1, max_size=30
    )
)
def test_paths_are_paths_unique_and_stable(trails: list[tuple[str, ...]]) -> None:
    paths = paths_of(trails, "server")
    assert paths == paths_of(trails, "server")
    assert len(set(paths)) == len(trails)
    for path in paths:
        check_path(f"a/b/c/d/{path}")


def test_twenty_thousand_equal_names() -> None:
    assert len(set(paths_of([("M", "same")] * 20_000, "S"))) == 20_000
