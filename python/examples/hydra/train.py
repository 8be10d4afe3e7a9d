"""An experiment whose values Hydra sets: `python train.py --multirun strength=0.01,0.1,1`."""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import pallium


@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config: DictConfig) -> float:
    """Train the experiment in Hydra's output folder; the accuracy is what its sweepers optimise."""
    experiment = OmegaConf.to_container(config.experiment, resolve=True)
    assert isinstance(experiment, dict)
    out = Path(HydraConfig.get().runtime.output_dir) / "run"
    accuracy = float(pallium.run(experiment, out).accuracy().to_numpy().mean())
    print(f"strength {config.strength}: accuracy {accuracy:.2f}")
    return accuracy


if __name__ == "__main__":
    main()
