"""Readers of public datasets on fixtures of their layout, and on the datasets' real text where it is at hand."""

import csv
import gzip
import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from mcmfh.archive.manifest import check_manifest, read_manifest, write_manifest
from mcmfh.archive.sources import SOURCES, indiana, mimic_cxr, openi, roco
from mcmfh.archive.sources.rows import keep_labels, manifest_table
from mcmfh.errors import InputError

SHARED = Path(os.environ.get("MCMFH_SHARED_DATA", Path(__file__).parents[3] / ".." / "shared" / "data")) / "text_only"
needs_text = pytest.mark.skipif(not SHARED.is_dir(), reason="the datasets' text is not here")


def picture(path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), 90).save(path)


def report_xml(majors, images, findings="Clear lungs. ", impression="Normal."):
    parts = [f'<AbstractText Label="FINDINGS">{findings}</AbstractText>', '<AbstractText Label="IMPRESSION"/>']
    if impression:
        parts[1] = f'<AbstractText Label="IMPRESSION">{impression}</AbstractText>'
    mesh = "".join(f"<major>{major}</major>" for major in majors) + "<automatic>opacity</automatic>"
    pictures = "".join(f'<parentImage id="{name}"><caption>PA</caption></parentImage>' for name in images)
    return f"<eCitation><Abstract>{''.join(parts)}</Abstract><MeSH>{mesh}</MeSH>{pictures}</eCitation>"


def by_id(table):
    return {row["item_id"]: row for row in table.to_pylist()}


def usable(table, tmp_path):
    """The table goes through a manifest file without a fault."""
    uri = str(tmp_path / "manifest.parquet")
    write_manifest(table, uri)
    again = read_manifest(uri, [name for name in table.column_names if name in ("projection", "keywords", "view")])
    assert again.num_rows == table.num_rows
    return check_manifest(again) == []


def test_openi_joins_reports_images_and_headings(tmp_path):
    folder = tmp_path / "ecgen-radiology"
    folder.mkdir()
    for number in range(1, 101):
        majors = ["Opacity/lung/apex/left", "Opacity/pulmonary alveoli"] if number % 2 else ["normal"]
        (folder / f"{number}.xml").write_text(
            report_xml([*majors, f"Rare {number}", "No Indexing"], [f"CXR{number}_a"])
        )
    (folder / "170.xml").write_text(report_xml(["normal"], ["CXR170_a", "CXR170_b", "CXR170_gone"]))
    (folder / "171.xml").write_text(report_xml(["normal"], [], findings="", impression=""))
    for name in ("CXR1_a", "CXR170_a", "CXR170_b"):
        picture(tmp_path / "images" / f"{name}.png")
    table = openi(str(tmp_path))
    rows = by_id(table)
    assert rows["CXR1_a"]["labels"] == ["Opacity"]
    assert rows["CXR1_a"]["report"] == "Clear lungs. Normal."
    assert rows["CXR170_a"]["study_id"] == rows["CXR170_b"]["study_id"] == "CXR170"
    assert rows["CXR2"]["image_uri"] is None
    assert "CXR171" not in rows  # neither picture nor text
    assert {label for row in rows.values() for label in row["labels"]} == {"Opacity", "normal"}
    assert table.num_rows == 102
    assert usable(table, tmp_path)


def test_openi_names_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match=r"NLMCXR_reports\.tgz"):
        openi(str(tmp_path))
    (tmp_path / "1.xml").write_text("<eCitation>")
    with pytest.raises(InputError, match="not XML"):
        openi(str(tmp_path))


@needs_text
def test_indiana_on_the_real_reports(tmp_path):
    for name in ("indiana_reports.csv", "indiana_projections.csv"):
        (tmp_path / name).symlink_to((SHARED / name).resolve())
    picture(tmp_path / "images" / "images_normalized" / "1_IM-0001-4001.dcm.png")
    picture(tmp_path / "images" / "images_normalized" / "1_IM-0001-3001.dcm.png")
    table = indiana(str(tmp_path))
    rows = by_id(table)
    assert rows["1_IM-0001-3001.dcm"]["projection"] == "Lateral"
    assert rows["1_IM-0001-3001.dcm"]["labels"] == ["normal"]
    lines = list(csv.DictReader((SHARED / "indiana_reports.csv").open()))
    assert len({row["study_id"] for row in rows.values()}) == sum(bool(x["findings"] or x["impression"]) for x in lines)
    train = Counter(label for row in rows.values() if row["split"] == "train" for label in row["labels"])
    assert min(train.values()) >= 20
    assert 30 < len(train) < 54  # 54 headings occur 20 times in all splits together
    assert usable(table, tmp_path)


@needs_text
def test_roco_on_the_real_captions(tmp_path):
    lines = [line for line in csv.DictReader((SHARED / "roco_text.csv").open()) if line["kind"] == "radiology"]
    items = {line["id"] for line in lines if line["id"] != "ROCO_ID"}  # the files' header came along
    for split in ("validation", "test"):
        place = tmp_path / "data" / split / "radiology"
        place.mkdir(parents=True)
        chosen = [line for line in lines if line["split"] == split]
        concepts = [f"{line['id']}\t\t" + "\t".join(line["cuis"].split("|")) for line in chosen]
        links = [
            f"{line['id']}\twget -r ftp://x/{line['pmc_image'].split('_')[0]}.tar.gz -P d\tf.jpg" for line in chosen
        ]
        (place / "captions.txt").write_text("".join(f"{line['id']}\t {line['caption']}\n" for line in chosen))
        (place / "cuis_tp_val_revised.txt").write_text("\n".join(concepts))
        (place / "keywords.txt").write_text("".join(f"{line['id']}\t\tlarge\tbrain\n" for line in chosen))
        (place / "dlinks.txt").write_text("\n".join(links))
    picture(tmp_path / "data" / "test" / "radiology" / "images" / f"{chosen[0]['id']}.jpg")
    table = roco(str(tmp_path))
    rows = by_id(table)
    assert set(rows) == items
    assert rows[chosen[0]["id"]]["image_uri"].endswith(".jpg")
    assert rows[chosen[1]["id"]]["image_uri"] is None
    assert rows[chosen[0]["id"]]["group"] == chosen[0]["pmc_image"].split("_")[0]
    assert rows[chosen[0]["id"]]["keywords"] == "large brain"
    train = Counter(label for row in rows.values() if row["split"] == "train" for label in row["labels"])
    assert min(train.values()) >= 50
    assert max(train.values()) <= 400
    assert len(train) > 200
    assert usable(table, tmp_path)
    official = roco(str(tmp_path), official_split=True)
    assert set(official["split"].to_pylist()) == {"validation", "test"}
    with pytest.raises(InputError, match="no captions"):
        roco(str(tmp_path), kind="non-radiology")


@pytest.mark.parametrize("compress", [False, True])
def test_mimic_follows_its_tables(tmp_path, compress):
    tables = {
        "split": "dicom_id,study_id,subject_id,split\n"
        "a1,50,10000032,train\na2,50,10000032,train\nb1,51,11000001,validate\n",
        "metadata": "dicom_id,subject_id,study_id,ViewPosition,StudyDate\n"
        "a1,10000032,50,PA,21800506\na2,10000032,50,LATERAL,21800506\n",
        "chexpert": "subject_id,study_id,Atelectasis,Edema,No Finding\n10000032,50,1.0,-1.0,\n11000001,51,0.0,,1.0\n",
    }
    for name, text in tables.items():
        path = tmp_path / f"mimic-cxr-2.0.0-{name}.csv"
        if compress:
            path.with_suffix(".csv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
    study = tmp_path / "files" / "p10" / "p10000032" / "s50"
    picture(study / "a1.jpg")
    picture(study / "a2.jpg")
    study.with_suffix(".txt").write_text("FINDINGS: Edema.")
    table = mimic_cxr(str(tmp_path))
    rows = by_id(table)
    assert rows["a1"]["image_uri"] == f"file://{study}/a1.jpg"
    assert rows["a2"]["report_uri"] == f"file://{study}.txt"
    assert (rows["a1"]["labels"], rows["b1"]["labels"]) == (["Atelectasis"], ["No Finding"])
    assert (rows["a2"]["view"], rows["b1"]["view"]) == ("LATERAL", None)
    assert (rows["b1"]["split"], rows["b1"]["group"], rows["b1"]["date"]) == ("validation", "p11000001", None)
    assert usable(table, tmp_path)


def test_mimic_without_its_tables_says_which(tmp_path):
    with pytest.raises(InputError, match=r"chexpert\.csv"):
        mimic_cxr(str(tmp_path))


def test_labels_are_kept_by_their_training_frequency():
    rows = [
        {"item_id": str(i), "split": "train" if i < 8 else "test", "labels": ["often"] * (i < 9)} for i in range(10)
    ]
    rows[0]["labels"] = ["often", "once", "once"]
    rows[9]["labels"] = ["only tested"]
    table = manifest_table(rows)
    assert keep_labels(table, 2)["labels"].to_pylist()[0] == ["often"]
    assert keep_labels(table, 1, 7)["labels"].to_pylist()[0] == ["once", "once"]
    assert keep_labels(table, 1)["labels"].to_pylist()[9] == []


def test_every_source_is_reachable_by_name():
    assert set(SOURCES) == {"openi", "indiana", "roco", "mimic-cxr"}
