"""Reports with one part replaced: what is not understood is refused, and no header's name becomes text."""

import pytest
from support.changed_reports import MAKERS, outcomes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("seed", "count"), [(0, 400), pytest.param(1, 2000, marks=pytest.mark.slow)])
def test_no_changed_report_yields_a_planted_name(seed, count):
    result = outcomes(seed, count)
    assert result["faults"] == []
    assert sum(result["found"].values()) == count
    for kind in MAKERS:
        assert result["found"][f"{kind}: text"] > count / 10, "most are still read"
