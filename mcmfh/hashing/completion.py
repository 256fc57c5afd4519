"""From a trained model to its bundle: measured and calibrated on validation, with canary and card."""

from typing import Any

from mcmfh.encoders import EncoderSpec, load_encoder
from mcmfh.encoders.mcr import described
from mcmfh.evaluation.provenance import Provenance, overrides_of
from mcmfh.hashing import canary
from mcmfh.hashing.bundle import save_bundle
from mcmfh.hashing.calibration import calibrate
from mcmfh.hashing.coder import Coder, Model
from mcmfh.hashing.codes import pack_codes
from mcmfh.hashing.model import Mcmfh
from mcmfh.hashing.monitor import expert_loads
from mcmfh.hashing.preparation import Prepared
from mcmfh.hashing.settings import TrainSettings
from mcmfh.hashing.validation import sample, validation_scores
from mcmfh.store import files
from mcmfh.store.code_version import training_code


def complete(model: Model, prepared: Prepared, encoder: EncoderSpec, root: str, with_encoder: bool = True) -> str:
    """Write the bundle below `root` and return its URI.

    `with_encoder` runs the canary pictures and sentences through the encoder; a precomputed one cannot.
    """
    model = model.cpu().eval()
    coder = Coder(model, prepared.shape)
    few = sample(prepared.validation)
    metrics: dict[str, Any] = {"items": len(few), "validation": {}}
    calibration: dict[str, Any] = {}
    if len(few):
        logits = coder.all_logits(few.image, few.report)
        for k in coder.bits:
            codes = {name: pack_codes(by_k[k]) for name, by_k in logits.items()}
            metrics["validation"][str(k)] = {
                way: {measure: round(value, 6) for measure, value in scores.items()}
                for way, scores in validation_scores(codes, few).items()
            }
            calibration[str(k)] = calibrate(codes, few.labels, few.study)
        if isinstance(model, Mcmfh):
            metrics["expert_load"] = expert_loads(model, few)
    fixed = canary.embedding_canary(coder.all_logits, prepared.image, prepared.report, prepared.shape.seed)
    if with_encoder and encoder.name != "precomputed":
        towers = load_encoder(encoder.name, encoder.device, encoder.source, encoder.dtype)
        fixed["encoder"] = canary.encoder_canary(
            lambda images, k: coder.encode_and_hash_images(towers, images, k),
            lambda texts, k: coder.encode_and_hash_reports(towers, texts, k),
            coder.bits,
        )
    training = {
        "settings": prepared.settings.work,
        "supervised": prepared.settings.supervised,
        "teacher": prepared.teacher,
        "temperature": prepared.temperature,
        "agreement": {name: round(value, 6) for name, value in prepared.agreement.items()},
        "pairs": len(prepared.rows),
        "unlabelled": prepared.unlabelled,
        "embedded": prepared.embedded,
        "split": prepared.split,
        "seen": prepared.seen.to_json(),
        "fingerprint": prepared.fingerprint,
        "provenance": _provenance(prepared, encoder).to_json(),
    }
    if encoder.name == "mcr":  # other bundles keep their digest
        training["encoder"] = described(encoder)
    return save_bundle(
        root,
        model,
        prepared.shape,
        encoder,
        calibration=calibration,
        metrics=metrics,
        canary=fixed,
        training=training,
    )


def _provenance(prepared: Prepared, encoder: EncoderSpec) -> Provenance:
    """No address is in it: the same training elsewhere gives the same bundle."""
    settings = prepared.settings
    preset = TrainSettings(recipe=settings.recipe, supervised=settings.supervised).work
    recipe = {"recipe": settings.recipe, "supervised": settings.supervised}
    given = [*overrides_of("train", recipe, TrainSettings().work), *overrides_of("train", settings.work, preset)]
    return Provenance(
        archive=prepared.contents,
        embedded=prepared.embedded,
        split=prepared.split_digest,
        encoder=f"{encoder.name} {encoder.digest[:12]}",
        settings=files.digest(settings.work),
        seeds=(settings.seed,),
        code=training_code(),
        job="jobs/train.py",
        overrides=("archive.manifest=MANIFEST", "store=STORE", *given),
    )
