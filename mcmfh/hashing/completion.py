"""From a trained model to its bundle: measured and calibrated on validation, with canary and card."""

import numpy as np

from mcmfh.encoders import EncoderSpec, load_encoder
from mcmfh.hashing import canary
from mcmfh.hashing.bundle import Bundle, Model, save_bundle
from mcmfh.hashing.calibration import calibrate
from mcmfh.hashing.preparation import Prepared
from mcmfh.hashing.recall import LARGEST, hamming_matrix, pair_recall, same_text


def complete(model: Model, prepared: Prepared, encoder: EncoderSpec, root: str, with_encoder: bool = True) -> str:
    """Write the bundle below `root` and return its URI.

    `with_encoder` runs the canary pictures and sentences through the encoder; a precomputed one cannot.
    """
    model = model.cpu().eval()
    bundle = Bundle(model, prepared.shape, encoder.name, encoder.identity)
    few = prepared.validation.select(np.arange(min(LARGEST, len(prepared.validation))))
    metrics: dict = {"items": len(few), "recall": {}}
    calibration: dict = {}
    if len(few):
        found = bundle.all_logits(few.image, few.report)
        correct = same_text(few.text_key)
        for k in bundle.bits:
            codes = {name: np.packbits(by_k[k] > 0, axis=1, bitorder="little") for name, by_k in found.items()}
            distance = hamming_matrix(codes["image"], codes["report"])
            metrics["recall"][str(k)] = {
                "image_to_report": _rounded(pair_recall(distance, correct)),
                "report_to_image": _rounded(pair_recall(distance.T, correct)),
                "chance": _rounded(pair_recall(np.zeros_like(distance), correct)),
            }
            calibration[str(k)] = calibrate(codes, few.labels, few.study)
    fixed = canary.embedding_canary(bundle.all_logits, prepared.image, prepared.report, prepared.shape.seed)
    if with_encoder and encoder.name != "precomputed":
        towers = load_encoder(encoder.name, encoder.device, encoder.source)
        fixed["encoder"] = canary.encoder_canary(
            lambda images, k: bundle._hash_images(towers, images, k),
            lambda texts, k: bundle._hash_reports(towers, texts, k),
            bundle.bits,
        )
    training = {
        "settings": prepared.settings.model_dump(mode="json", exclude={"workers", "min_workers"}),
        "supervised": prepared.settings.supervised,
        "teacher": prepared.teacher,
        "temperature": prepared.temperature,
        "agreement": {name: round(value, 6) for name, value in prepared.agreement.items()},
        "pairs": len(prepared.rows),
        "fingerprint": prepared.fingerprint,
    }
    return save_bundle(
        root, model, prepared.shape, encoder, calibration=calibration, metrics=metrics, canary=fixed, training=training
    )


def _rounded(recall: dict[int, float]) -> dict[str, float]:
    return {str(k): round(value, 6) for k, value in recall.items()}
