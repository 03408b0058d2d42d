"""From any scene to the medium that shows it."""

from __future__ import annotations

from heliograph.model import media
from heliograph.model.primer import films, pictures, sounds
from heliograph.model.primer.scenes import Film, Scene, SoundOf


def render(scene: Scene, seed: int) -> media.Clip:
    """Draw, play or film the scene; the same seed gives the same medium."""
    match scene:
        case SoundOf():
            return media.Sound(sounds.play(scene, seed), sounds.RATE)
        case Film():
            return media.Film(films.film(scene, seed), films.FPS)
        case _:
            return media.Image(pictures.draw(scene, seed))
