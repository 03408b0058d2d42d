"""Any LangChain chat model as a function: it makes instruction data, and judges answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heliograph.model.data.making.run import ChatModel, Reply
from heliograph.model.errors import DataError, InputError, MissingExtra

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


def named(name: str) -> BaseChatModel:
    """The chat model that ``provider:name`` stands for, as LangChain knows it.

    Raises:
        InputError: there is no such provider, or it lacks a package or a key.
        MissingExtra: LangChain is not installed.
    """
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise MissingExtra("langchain", "llm") from None
    try:
        return init_chat_model(name)
    except Exception as error:  # each provider has kinds of its own
        raise InputError(f"The chat model {name!r} can't be used: {in_a_line(error)}") from error


def asking(model: BaseChatModel) -> ChatModel:
    """A function that asks the model and counts its tokens."""

    def ask(messages: Sequence[tuple[str, str]]) -> Reply:
        try:
            message = model.invoke(list(messages))
        except Exception as error:  # each provider has kinds of its own
            raise DataError(
                f"The chat model broke off ({in_a_line(error)}); the same command goes on."
            ) from error
        used = getattr(message, "usage_metadata", None) or {}
        return Reply(message.text, used.get("input_tokens", 0), used.get("output_tokens", 0))

    return ask


def in_a_line(error: Exception) -> str:
    """An error of somebody else's as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
