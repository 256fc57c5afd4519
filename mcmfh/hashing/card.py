"""MODEL_CARD.md: what a bundle is, its scores and its limits, for people."""

from typing import Any

from mcmfh.evaluation.provenance import CONSTANTS, Provenance


def model_card(config: dict[str, Any], metrics: dict[str, Any], calibration: dict[str, Any]) -> str:
    """The card as Markdown. It holds no time, because it enters the bundle's digest."""
    shape, training = config["shape"], config["training"]
    how = "supervised by labels" if training.get("supervised") else "trained without labels"
    lines = [
        "# Hash model for cross-modal retrieval of images and reports",
        "",
        f"- Method: {shape['settings']['method']}, {how}",
        f"- Codes: {', '.join(map(str, shape['bits']))} bits per modality",
        f"- Encoder: {training.get('encoder', config['encoder'])} ({config['encoder_digest'][:12]})",
        f"- Trained on {training.get('pairs', '?')} image–report pairs, teacher {training.get('teacher', 'none')}",
        f"- Code digest: {config['code_digest']}",
        "",
        "## Measured on validation items",
        "",
        "| bits | measure | image→report | report→image | chance |",
        "|---|---|---|---|---|",
    ]
    for k, scores in metrics.get("validation", {}).items():
        for measure in scores["chance"]:
            cells = [f"{scores[way][measure]:.3f}" for way in ("image_to_report", "report_to_image", "chance")]
            lines.append(" | ".join([f"| {k}", measure, *cells, ""]).rstrip())
    if provenance := training.get("provenance"):
        lines += ["", Provenance.from_json(provenance).line()]
    for i, layer in enumerate(metrics.get("expert_load", [])):
        lines.append(f"\nLayer {i}: load of the experts {', '.join(f'{share:.2f}' for share in layer)}.")
    if split := training.get("split"):
        lines.insert(6, f"- Split: {split}")
    if embedded := training.get("embedded"):
        lines.insert(6, f"- Embedded when it was trained: {embedded[0]} of {embedded[1]} train and validation items")
    if unlabelled := training.get("unlabelled"):
        lines.insert(6, f"- Left out of training: {unlabelled} pairs without labels")
    calibrated = next(iter(calibration.values()), None)
    lines += [
        "",
        f"Calibration gives P({calibrated['meaning']} | distance), counted on {calibrated['counted']:,} of "
        f"{calibrated['items']:,} validation items."
        if calibrated
        else "There is no calibration, because no validation item has image and report.",
        "",
        "## Limits",
        "",
        "For research in retrieval. Not a medical device: a near code is a likeness, not a diagnosis. Codes are lossy",
        "but not anonymous; treat them like the reports they came from.",
        "",
        CONSTANTS,
    ]
    if config["encoder"] == "packaged":
        lines.append("The packaged encoder is general-purpose and never saw medical data.")
    return "\n".join(lines) + "\n"
