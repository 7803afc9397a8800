"""Catalogs as tables of text."""

from __future__ import annotations

from sensverify.registry.listing import Cited

LONG = " of several words that are long"


def test_two_papers_of_one_year_are_told_apart() -> None:
    one, two = f"Kurakin et al. 2017, First{LONG}", f"Kurakin et al. 2017, Second{LONG}; as printed"
    cited = Cited([one, two, one, f"Laugros, Third{LONG}", "A title alone, Eq. 7", ""])
    assert [cited.short(source) for source in (one, two, f"Laugros, Third{LONG}")] == [
        "Kurakin et al. 2017a",
        "Kurakin et al. 2017b; as printed",
        "Laugros",
    ]
    assert cited.short("A title alone, Eq. 7") == "A title alone, Eq. 7"
    assert cited.short("Wang et al., Section 6") == "Wang et al., Section 6"
    assert cited.rows == [
        ("Kurakin et al. 2017a", f"First{LONG}"),
        ("Kurakin et al. 2017b", f"Second{LONG}"),
        ("Laugros", f"Third{LONG}"),
    ]
