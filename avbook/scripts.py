"""interim: the shared dataclasses; nbs/1_problem/02a_scripts.ipynb will export the real file"""
from dataclasses import dataclass, field
import numpy as np

@dataclass(frozen=True)
class Source:
    category: str
    heard: np.ndarray   # (T,) bool
    seen: np.ndarray    # (T,) bool
    size: float = 0.5   # 0..1
    tempo: float = 1.5  # movements (and sound pulses) per second
    phase: float = 0.0  # of that movement, in turns
    motion: float = 0.5 # 0..1
    x: float = 0.5
    y: float = 0.5
    seed: int = 0

@dataclass(frozen=True)
class Clip:
    id: str
    sources: tuple
    seed: int = 0
    lead: float = 0.0     # seconds by which the sound runs ahead of the picture
    snr_db: float = 12.0
    shake: float = 0.3    # 0..1
    split: str = "train"
    seconds: int = 10
