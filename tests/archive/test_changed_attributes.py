"""DICOM with one attribute replaced: a picture that shows something, or a reason that names what is wrong."""

import pytest
from support.changed_attributes import outcomes


@pytest.mark.parametrize(("seed", "count"), [(0, 200), pytest.param(1, 5000, marks=pytest.mark.slow)])
def test_no_single_attribute_spoils_a_picture_silently(seed, count):
    result = outcomes(seed, count)
    assert result["faults"] == []
    assert sum(result["found"].values()) == count
    assert result["found"]["picture"] > count / 2
    assert result["found"]["window shows nothing"] > 0
