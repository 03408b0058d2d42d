"""Any LangChain chat model as a judge of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliograph.model.errors import HeliographError, InputError, MissingExtra

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from heliograph.model.evaluation.standard.judge import Judge


def chat_model(name: str) -> BaseChatModel:
    """The chat model that LangChain knows by ``provider:model``, such as ``ollama:llama3.3``.

    Raises:
        MissingExtra: LangChain is not installed.
        InputError: the provider's package or key is missing, or there is no such provider.
    """
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise MissingExtra("langchain", "eval") from error
    try:
        model: BaseChatModel = init_chat_model(name)
    except Exception as error:  # each provider has its own kinds
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"The chat model {name} can't be used: {reason}") from error
    return model


def judge(model: BaseChatModel, name: str) -> Judge:
    """What asks ``model`` for a verdict.

    Raises (when it is called):
        InputError: the model gave none, because of the network, the key, or the provider.
    """

    def verdict(prompt: str) -> str:
        try:
            return str(model.invoke(prompt).text)
        except HeliographError:
            raise
        except Exception as error:  # each provider has its own kinds
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"The judge {name} gave no verdict ({type(error).__name__}: {reason}); what was "
                "judged is kept, and the same command goes on."
            ) from error

    return verdict
