"""Nearly equal pictures and equal texts are on one side of every split that is not the manifest's own."""

import csv

import numpy as np
import pytest
from PIL import Image
from support.embedded import configured

from mcmfh.archive import duplicates
from mcmfh.archive.loading import load_items
from mcmfh.errors import InputError
from mcmfh.phantom.files import hand_over
from mcmfh.phantom.studies import sample_studies
from mcmfh.pipeline.archive import read_archive
from mcmfh.pipeline.split import divide

COPIES = ((0, 20), (1, 21), (2, 22))  # (an item, its darker or smaller copy under another patient)


@pytest.fixture(scope="module")
def pictures():
    drawn = [Image.fromarray(hand_over(study).shown) for study in sample_studies(20, 5)]
    return [*drawn, drawn[0].point(lambda grey: grey * 0.9), drawn[1].resize((150, 150)), drawn[2].copy()]


def write(folder, pictures, name="manifest", **columns):
    """A manifest without splits and without groups; `columns` overrides cells by row number."""
    uri = folder / f"{name}.csv"
    with uri.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "image_uri", "report", "group", "split", "date"])
        for i, picture in enumerate(pictures):
            picture.save(folder / f"{name}-{i}.png")
            cells = {"report": f"report {name} {i}", "group": "", "split": "", "date": f"{2000 + i}-01-01"}
            cells |= {column: of_row[i] for column, of_row in columns.items() if i in of_row}
            rows.writerow([f"i{i}", f"{name}-{i}.png", *cells.values()])
    return uri


def split_of(folder, manifest, *more):
    config = configured(folder, manifest, *more)
    archive = read_archive(config.archive)
    split = divide(config, archive).split
    rows = {name: i for i, name in enumerate(split.item_id.tolist())}
    return split, rows


def test_copies_are_on_one_side_where_no_group_is_named(tmp_path, pictures):
    split, row = split_of(tmp_path, write(tmp_path, pictures))
    for one, other in COPIES:
        assert split.group[row[f"i{one}"]] == split.group[row[f"i{other}"]]
        assert split.role[row[f"i{one}"]] == split.role[row[f"i{other}"]]
    assert "3 groups merged" in split.line()
    assert "23 of 23 pictures compared for near-duplicates" in split.line()
    assert "i20 with a twin picture" in split.why("i0")


def test_beyond_the_stated_number_the_line_says_so(tmp_path, pictures):
    split, row = split_of(tmp_path, write(tmp_path, pictures), "evaluate.twins_up_to=22")
    assert (
        "nearly equal pictures were not looked for: 23 pictures are more than evaluate.twins_up_to=22" in split.line()
    )
    assert split.group[row["i0"]] != split.group[row["i20"]]


@pytest.mark.parametrize("other", ["REPORT  seven", "report\u00a0\tseven", "Report Seven"])
def test_texts_that_differ_in_case_and_white_space_are_equal(tmp_path, pictures, other):
    manifest = write(tmp_path, pictures[:12], report={3: "report seven", 8: other})
    split, row = split_of(tmp_path, manifest)
    assert split.group[row["i3"]] == split.group[row["i8"]]
    assert "i8 with an equal text" in split.why("i3")


def test_a_chain_of_text_and_picture_is_one_group(tmp_path, pictures):
    """0 and 20 are twins, 20 and 7 have one text, 7 and 5 one patient."""
    given = {"report": {20: "one text", 7: "one text"}, "group": {7: "p7", 5: "p7"}}
    split, row = split_of(tmp_path, write(tmp_path, pictures, **given))
    assert len({split.group[row[f"i{i}"]] for i in (0, 20, 7, 5)}) == 1


def test_a_split_by_date_knows_texts_and_twins(tmp_path, pictures):
    manifest = write(tmp_path, pictures, report={4: "one text", 18: "one text"})
    split, row = split_of(tmp_path, manifest, "evaluate.train_until=2010-01-01")
    assert split.role[row["i4"]] == split.role[row["i0"]] == "train"
    for late in ("i18", "i20", "i21", "i22"):
        assert split.left_out[row[late]] == "left out because what belongs to it trains"


def test_a_twin_in_the_other_archive_does_not_train(tmp_path, pictures):
    source = write(tmp_path, pictures[:20], "source")
    target = write(tmp_path, [pictures[20], *pictures[10:12]], "target")
    split, _ = split_of(tmp_path, target, f"evaluate.train_manifest={source}")
    trains = split.role[split.part(0)] == "train"
    names = split.item_id[split.part(0)]
    assert "i5" in names[trains]
    assert not {"i0", "i10", "i11"} & set(names[trains])


def test_the_manifests_own_split_stays_and_the_met_are_counted(tmp_path, pictures):
    sides = {i: "train" if i < 20 else "test" for i in range(23)} | {12: "test"}
    manifest = write(tmp_path, pictures, split=sides, report={12: "one text", 3: "One text"})
    split, row = split_of(tmp_path, manifest)
    assert split.role[row["i20"]] == "test"
    met = split.item_id[split.met_in_train]
    assert sorted(met) == ["i12", "i20", "i21", "i22"]


def test_pictures_are_compared_once_and_again_when_one_changes(tmp_path, pictures, monkeypatch):
    manifest = write(tmp_path, pictures)
    compared = []
    decode = duplicates.perceptual_code
    monkeypatch.setattr(duplicates, "perceptual_code", lambda image: (compared.append(1), decode(image))[1])
    assert "3 groups merged" in split_of(tmp_path, manifest)[0].line()
    assert "3 groups merged" in split_of(tmp_path, manifest)[0].line()
    assert len(compared) == 23
    pictures[9].save(tmp_path / "manifest-20.png")
    split, row = split_of(tmp_path, manifest)
    assert len(compared) == 46
    assert split.group[row["i20"]] == split.group[row["i9"]] != split.group[row["i0"]]


def test_pictures_that_cannot_be_decoded_are_not_counted(tmp_path, pictures):
    manifest = write(tmp_path, pictures)
    (tmp_path / "manifest-3.png").write_bytes(b"no picture")
    split, _ = split_of(tmp_path, manifest)
    assert "22 of 23 pictures compared" in split.line()
    assert len(np.unique(split.group)) == 20


@pytest.mark.parametrize("column", ["image_uri", "report_uri"])
def test_files_of_an_archive_in_another_folder_are_read_within_its_own_roots(tmp_path, pictures, column):
    """Each archive's files lie beside its own manifest; neither may read the other's."""
    items = {}
    for name, chosen in (("target", pictures[:6]), ("source", [pictures[20], *pictures[6:12]])):
        folder = tmp_path / name
        folder.mkdir()
        items[name] = folder / "manifest.csv"
        lines = [f"item_id,image_uri,{'report_uri' if column == 'report_uri' else 'report'}"]
        for i, picture in enumerate(chosen):
            picture.save(folder / f"{i}.png")
            text = "one text" if column == "report_uri" and i == 0 else f"{name} text {i}"
            (folder / f"{i}.txt").write_text(text)
            report = f"{i}.txt" if column == "report_uri" else text
            lines.append(f"i{i},{i}.png,{report}")
        items[name].write_text("\n".join(lines))
    more = f"evaluate.train_manifest={items['source']}", "pretrain.size=tiny"
    limit = ["evaluate.twins_up_to=0"] if column == "report_uri" else []
    config = configured(tmp_path, items["target"], *more, *limit)
    divided = divide(config, read_archive(config.archive))
    own = divided.split.part(0)
    left_out = divided.split.left_out[own] == "left out because what belongs to it is asked"
    assert divided.split.item_id[own][left_out].tolist() == ["i0"]
    for archive in divided.archives:
        for loaded in load_items(archive.items.to_pylist(), divided.limits):
            assert loaded.reason is None


@pytest.mark.parametrize("same", ["the manifest", "a few files", "one file"])
def test_a_file_of_both_archives_does_not_train_however_many_pictures_there_are(tmp_path, pictures, same):
    source = write(tmp_path, pictures[:12], "source")
    common = {"the manifest": range(12), "a few files": (0, 4, 7), "one file": (5,)}[same]
    target = tmp_path / "target.csv"
    lines = [f"t{i},source-{i}.png,another text {i}" for i in common]
    if same != "the manifest":
        pictures[15].save(tmp_path / "own.png")
        lines.append("own,own.png,a text of its own")
    target.write_text("\n".join(["item_id,image_uri,report", *lines]))
    options = f"evaluate.train_manifest={source}", "evaluate.twins_up_to=0"
    if same == "the manifest":
        with pytest.raises(InputError, match="leaves nothing to train"):
            split_of(tmp_path, target, *options)
        return
    split, _ = split_of(tmp_path, target, *options)
    left_out = split.left_out[split.part(0)] == "left out because what belongs to it is asked"
    assert sorted(split.item_id[split.part(0)][left_out]) == [f"i{i}" for i in common]
    assert (split.role[split.part(1)] == "test").all()
    assert "nearly equal pictures were not looked for" in split.line()


def test_pictures_that_no_item_has_are_no_common_file(tmp_path, pictures):
    source, target = tmp_path / "source.csv", tmp_path / "target.csv"
    for uri in (source, target):
        uri.write_text("item_id,report\n" + "\n".join(f"i{i},{uri.stem} text {i}" for i in range(20)))
    split, _ = split_of(tmp_path, target, f"evaluate.train_manifest={source}", "evaluate.twins_up_to=0")
    assert (split.left_out == "").all()


def test_the_line_counts_items_of_no_part(tmp_path, pictures):
    sides = {i: "train" if i < 8 else "test" for i in range(12)}
    split, _ = split_of(tmp_path, write(tmp_path, pictures[:15], split=sides))
    assert "8 train, 0 validation, 4 test, 3 in no part;" in split.line()
