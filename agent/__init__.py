"""What people touch: ``Assistant``, its settings, and the command line.

Importing this package loads next to nothing; torch and LangGraph come with the first turn.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliograph.agent.assistant import Assistant
    from heliograph.agent.settings import Settings

__all__ = ["Assistant", "Settings"]


def __getattr__(name: str) -> Any:
    if name == "Assistant":
        from heliograph.agent.assistant import Assistant

        return Assistant
    if name == "Settings":
        from heliograph.agent.settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
