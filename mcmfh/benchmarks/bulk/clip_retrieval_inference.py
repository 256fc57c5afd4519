"""clip-retrieval's own inference, run by a Python that has it installed. This file must not import mcmfh.

python clip_retrieval_inference.py FOLDER_OF_THE_MODEL ITEMS-{0..1}.tar OUTPUT READERS
"""

import json
import sys
from pathlib import Path


def main(model: Path, items: str, output: str, readers: str) -> None:
    """Embed the .jpg and .txt of tars with `model`, a folder of open_clip, by `readers` processes."""
    import open_clip
    from clip_retrieval.clip_inference.main import main as infer

    registered = model / "peer.json"  # open_clip names a model after the file of its configuration
    registered.write_text(json.dumps(json.loads((model / "open_clip_config.json").read_text())["model_cfg"]))
    open_clip.add_model_config(registered)
    infer(
        items,
        output,
        input_format="webdataset",
        clip_model=f"open_clip:peer/{model / 'open_clip_model.safetensors'}",
        num_prepro_workers=int(readers),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
