"""The folders that `jobs/stress.py manifest-scale` measures, at a small size."""

from mcmfh.benchmarks.bulk.manifest_scale import run_manifest, write_dicom, write_mimic


def test_every_image_of_the_layout_of_mimic_has_its_report(tmp_path):
    write_mimic(tmp_path / "files", 40)
    measured = run_manifest(tmp_path / "files", tmp_path / "manifest.parquet", 40)
    assert measured.images == measured.paired == 20
    assert measured.peak > 0


def test_every_slice_of_the_dicom_folder_has_its_report(tmp_path):
    write_dicom(tmp_path / "files", 100)
    measured = run_manifest(tmp_path / "files", tmp_path / "manifest.parquet", 100)
    assert measured.images == measured.paired == 100
