"""What is left of a report once its negated parts are gone."""

import pytest

from mcmfh.embeddings.assertions import asserted


@pytest.mark.parametrize(
    ("report", "left"),
    [
        ("No pneumothorax.", ""),
        ("Cardiomegaly. No pneumothorax.", "Cardiomegaly"),
        ("Cardiomegaly, no pleural effusion or pneumothorax.", "Cardiomegaly"),
        ("There is no effusion.", ""),
        ("There is an effusion.", "There is an effusion"),
        ("The lungs are clear without effusion.", "The lungs are clear"),
        ("No effusion, but a nodule in the left lobe.", "a nodule in the left lobe"),
        ("No effusion\nNodule of the left lobe", "Nodule of the left lobe"),
        ("A fracture is not seen.", ""),
        ("Fracture was ruled out; joint effusion.", "joint effusion"),
        ("Malignancy cannot be excluded.", "Malignancy cannot be excluded"),
        ("No significant change of the mass.", "No significant change of the mass"),
        ("Tumour is unlikely. Abscess.", "Abscess"),
        ("Negative for fracture. Swelling.", "Swelling"),
        ("NEITHER stone NOR dilatation: cyst", "cyst"),
        ("Nodule of 1.5 cm, noted.", "Nodule of 1.5 cm, noted"),
        ("", ""),
        ("Знижена прозорість.", "Знижена прозорість"),
    ],
)
def test_negated_parts_are_dropped(report, left):
    assert asserted(report) == left


def test_triggers_are_whole_words():
    assert asserted("Nodular notch of the nose, normal.") == "Nodular notch of the nose, normal"


def test_what_is_asserted_stays_when_it_is_read_again():
    text = asserted("Cardiomegaly. No effusion. Mass of the left lung without calcification.")
    assert asserted(text) == text == "Cardiomegaly. Mass of the left lung"
